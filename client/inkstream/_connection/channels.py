"""Chooses which of a client's addresses to use, opens a channel to it, and makes unary calls.

Knows nothing of streams. All methods run in one event loop.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from typing import Any

import grpc

from inkstream._exceptions import AccessPending, from_status
from inkstream._fork import own_grpc, rpc_errors
from inkstream._options.client import Options
from inkstream._options.proxies import way_to
from inkstream._options.retry import is_retried
from inkstream._options.tls import Tls
from inkstream.v1 import recognition_service_pb2_grpc as service


class Channels:
    """Channels to a client's targets. Each opens when it is first used."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._open: dict[str, grpc.aio.Channel] = {}
        # Clients with the same list start at different addresses.
        self._turn = random.randrange(len(options.targets))  # noqa: S311 - spreads load

    @property
    def address(self) -> str:
        """The current target."""
        return self._after(0)

    @property
    def place(self) -> str:
        """The current target for error messages, with the proxy on the way there."""
        return way_to(self.address)

    def turn(self) -> None:
        """Make the next target the current one, because this one fails or drains."""
        self._turn += 1

    def stream(self) -> Any:
        """Begin a `StreamRecognize` call to the current target."""
        stub = self._stub(self.address)
        return stub.StreamRecognize(metadata=self._options.call_metadata)

    async def ask(self, method: str, request: Any, seconds: float | None) -> Any:
        """Make a unary call to the current target or, if that fails, to the next ones in turn.

        Begins again, within the limits of `RetryPolicy`, while the last one asks for that (`AccessPending`).

        Args:
            method: the name of the method in the contract.
            request: its message.
            seconds: the time limit over all targets; None for no limit.

        Raises:
            InkstreamError: all targets failed, or one returned an error that no other target would avoid.
        """
        began = time.monotonic()
        end = None if seconds is None else began + seconds
        for rounds in itertools.count(1):
            try:
                return await self._ask_each(method, request, end)
            except AccessPending as pending:
                now, delay = time.monotonic(), pending.retry_after or 0.0
                is_late = end is not None and now + delay >= end
                policy = self._options.retry_policy
                if is_late or policy.is_exhausted(rounds, now - began, was_open=True):
                    raise
            await asyncio.sleep(delay)
        raise AssertionError("it counts without an end")

    async def _ask_each(self, method: str, request: Any, end: float | None) -> Any:
        """Make a unary call to one target after the other until one answers, once to each.

        Args:
            method: see `ask`.
            request: see `ask`.
            end: when to give up, by `time.monotonic`; None for never.

        Raises:
            InkstreamError: see `ask`.
        """
        targets = len(self._options.targets)
        for step in range(targets):
            address = self._after(step)
            left = None if end is None else max(0.0, end - time.monotonic())
            call = getattr(self._stub(address), method)
            try:
                return await call(request, timeout=left, metadata=self._options.call_metadata)
            except rpc_errors() as failed:
                error = from_status(failed, way_to(address))
                if step == targets - 1 or not is_retried(error):
                    raise error from failed
        raise AssertionError("there is at least one target")

    async def close(self) -> None:
        """Disconnect; calls under way fail."""
        while self._open:
            _, channel = self._open.popitem()
            await channel.close()

    def _after(self, steps: int) -> str:
        targets = self._options.targets
        return targets[(self._turn + steps) % len(targets)]

    def _stub(self, address: str) -> service.RecognitionServiceStub:
        if address not in self._open:
            tls, arguments = self._options.tls, self._options.channel_arguments(address)
            own = own_grpc(tls)
            if tls is None:
                self._open[address] = own.aio.insecure_channel(address, arguments)
            else:
                credentials = tls.credentials(own) if isinstance(tls, Tls) else tls
                self._open[address] = own.aio.secure_channel(address, credentials, arguments)
        return service.RecognitionServiceStub(self._open[address])
