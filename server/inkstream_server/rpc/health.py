"""The health service (grpc.health.v1), which needs no token. So a connection gets little of it."""

from __future__ import annotations  # grpc.RpcMethodHandler takes type arguments in its stubs only.

import asyncio
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Final

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from inkstream_server.access.first_message import FirstMessages
from inkstream_server.rpc.endings import send
from inkstream_server.rpc.unary import NO_MESSAGE, parsed

CHECKS: Final = 8
"""Most calls of `Check` of one connection at once. Probes make one."""

WATCHES: Final = 4
"""Most calls of `Watch` of one connection at once. A client that checks health makes one a service."""

MOST_WATCHES: Final = 1000
"""Most calls of `Watch` at once, of all connections: 24 MB."""

WATCH_SECONDS: Final = 3600.0
"""Longest time of a `Watch`; each ends up to a tenth earlier, at random."""

HEALTH_SECONDS: Final = 2.0
"""Longest time until the message of a call is complete. It is a few bytes, which come with the headers."""

_MOST_BYTES: Final = 1024
"""Longest message that is parsed: a name of a service."""


class Health:
    """Says whether the server and its service accept calls. Use it in one event loop."""

    def __init__(self, names: Iterable[str], messages: FirstMessages) -> None:
        """Start as NOT_SERVING.

        Args:
            names: names that callers may ask for.
            messages: reads requests.
        """
        self._names = frozenset(names)
        self._messages = messages
        self._status = HealthCheckResponse.NOT_SERVING
        self._changed = asyncio.Event()
        self.checks: Counter[str] = Counter()
        """Calls of `Check` that are open, by connection."""
        self.watches: Counter[str] = Counter()
        """Calls of `Watch` that are open, by connection."""

    @property
    def handlers(self) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        """The handler of each method, by its name."""
        return {
            "Check": grpc.stream_stream_rpc_method_handler(self._check),
            "Watch": grpc.stream_stream_rpc_method_handler(self._watch),
        }

    def set(self, is_serving: bool) -> None:
        """Set the status of all names, and tell those who watch."""
        status = HealthCheckResponse
        self._status = status.SERVING if is_serving else status.NOT_SERVING
        self._changed.set()
        self._changed = asyncio.Event()

    async def _check(self, _requests: object, context: Any) -> None:
        with await self._counted(context, self.checks, CHECKS):
            name = await self._name(context)
            if name not in self._names:
                await context.abort(
                    grpc.StatusCode.NOT_FOUND, "service: the server has none of this name"
                )
            await send(context, HealthCheckResponse(status=self._status).SerializeToString())

    async def _watch(self, _requests: object, context: Any) -> None:
        with await self._counted(context, self.watches, WATCHES, MOST_WATCHES):
            is_known = await self._name(context) in self._names
            loop, told = asyncio.get_running_loop(), None
            end = loop.time() + WATCH_SECONDS * random.uniform(0.9, 1.0)  # noqa: S311 (no secret)
            while loop.time() < end:
                changed = self._changed
                status = self._status if is_known else HealthCheckResponse.SERVICE_UNKNOWN
                if status != told:
                    await send(context, HealthCheckResponse(status=status).SerializeToString())
                    told = status
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(end):
                        await changed.wait()
        await context.abort(
            grpc.StatusCode.UNAVAILABLE, "the watch has reached the greatest age: watch again"
        )

    async def _counted(
        self, context: Any, calls: Counter[str], most: int, most_of_all: int | None = None
    ) -> AbstractContextManager[None]:
        """Count a call while a block runs, or end it at once if there are too many."""
        peer = context.peer()
        if calls[peer] >= most or (most_of_all is not None and calls.total() >= most_of_all):
            self._messages.refused("calls")
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"health: a connection may have {most} of these calls at once"
                + (f", and all together {most_of_all}" if most_of_all else ""),
            )
        return _count(calls, peer)

    async def _name(self, context: Any) -> str | None:
        """Read the name that a caller asks for; None if it is too long to be one of ours."""
        raw = await self._messages.read(context, HEALTH_SECONDS)
        if raw is None:
            await context.abort(*NO_MESSAGE)
        if raw is None or len(raw) > _MOST_BYTES:
            return None
        name: str = (await parsed(HealthCheckRequest, raw, context)).service
        return name


@contextmanager
def _count(calls: Counter[str], peer: str) -> Iterator[None]:
    calls[peer] += 1
    try:
        yield
    finally:
        calls[peer] -= 1
        if not calls[peer]:
            del calls[peer]
