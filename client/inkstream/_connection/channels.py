"""The addresses of a client: whose turn it is, a channel to each, and unary calls to the first that answers.

Knows nothing of streams. Lives in one event loop, and so do all its methods.
"""

from __future__ import annotations

import random
import time
from typing import Any

import grpc

from inkstream._exceptions import from_status
from inkstream._fork import own_grpc, rpc_errors
from inkstream._options.client import Options
from inkstream._options.proxies import proxy_of
from inkstream._options.retry import RETRIED
from inkstream._options.tls import Tls
from inkstream.v1 import recognition_service_pb2_grpc as service


class Channels:
    """Channels to a client's targets, each opened when it is first used."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._open: dict[str, grpc.aio.Channel] = {}
        # Clients of one list of addresses begin at different ones.
        self._turn = random.randrange(len(options.targets))  # noqa: S311 - spreads load

    @property
    def address(self) -> str:
        """The target whose turn it is."""
        return self._after(0)

    @property
    def place(self) -> str:
        """The same for error messages, with the proxy on the way there."""
        return place_of(self.address)

    def turn(self) -> None:
        """Let the next target have its turn: this one fails, or stops."""
        self._turn += 1

    def stream(self) -> Any:
        """Begin a `StreamRecognize` call to the target whose turn it is."""
        stub = self._stub(self.address)
        return stub.StreamRecognize(metadata=self._options.call_metadata)

    async def ask(self, method: str, request: Any, seconds: float | None) -> Any:
        """Make a unary call to the target whose turn it is, or else to the first other one that answers.

        Args:
            method: its name in the contract.
            request: its message.
            seconds: how long it may take, over all targets; None for no limit.

        Raises:
            InkstreamError: none answered, or one answered with an error that others would give, too.
        """
        targets = len(self._options.targets)
        end = None if seconds is None else time.monotonic() + seconds
        for step in range(targets):
            address = self._after(step)
            left = None if end is None else max(0.0, end - time.monotonic())
            call = getattr(self._stub(address), method)
            try:
                return await call(request, timeout=left, metadata=self._options.call_metadata)
            except rpc_errors() as failed:
                error = from_status(failed, place_of(address))
                if step == targets - 1 or not isinstance(error, RETRIED):
                    raise error from failed
        raise AssertionError("there is at least one target")

    async def close(self) -> None:
        """Disconnect; what is under way fails."""
        while self._open:
            _, channel = self._open.popitem()
            await channel.close()

    def _after(self, steps: int) -> str:
        targets = self._options.targets
        return targets[(self._turn + steps) % len(targets)]

    def _stub(self, address: str) -> service.RecognitionServiceStub:
        channel = self._open.get(address)
        if channel is None:
            channel = self._open[address] = self._new_channel(address)
        return service.RecognitionServiceStub(channel)

    def _new_channel(self, target: str) -> grpc.aio.Channel:
        """A channel to one of the targets, connected when it is first used."""
        tls, arguments = self._options.tls, self._options.channel_arguments(target)
        own = own_grpc(tls)
        channel: grpc.aio.Channel
        if tls is None:
            channel = own.aio.insecure_channel(target, options=arguments)
        else:
            credentials = tls.credentials(own) if isinstance(tls, Tls) else tls
            channel = own.aio.secure_channel(target, credentials, options=arguments)
        return channel


def place_of(target: str) -> str:
    """A target for error messages, with the proxy on the way there."""
    proxy = proxy_of(target)
    return target if proxy is None else f"{target} through {proxy}"
