"""The first message of a call: within a time limit, and only few on their way at once.

gRPC keeps what has come of a message, up to the greatest size of one, for as long as the call is open.
"""

from __future__ import (
    annotations,
)  # grpc.aio.ServicerContext takes type arguments in its stubs only.

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import grpc

from inkstream_server.limits.reads import Reads

Refusal = Literal["token", "late", "crowded", "memory", "calls", "streams"]
"""Why a call was refused: it had no valid token; its message did not come in time; too many messages were on
their way; there was no memory for it; there were too many calls of its kind, or streams."""

REFUSED_SECONDS = 1.0
"""How long to wait for the first message of a refused stream: if the status arrives before a client of
grpc.aio writes its first message, the client loses the status and reports INTERNAL."""

STRANGERS_READS = 16
"""Messages of callers without a token that are on their way at once, in the whole process: 64 MB with the
default of `--max-message-bytes`. Most are complete when they are read."""

LEAST_READS = 16
"""Unary messages of other callers that may be on their way at once, however little memory there is. There may
be as many as a quarter of `--max-memory` holds."""

_ENDING: set[asyncio.Task[None]] = set()
"""Calls that are being ended."""


class Status(NamedTuple):
    """How a call ends."""

    code: grpc.StatusCode
    details: str
    trailers: tuple[tuple[str, str], ...] = ()


_CROWDED = Status(
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    "message: it was not complete when too many others were on their way: send it again later",
)


class FirstMessages:
    """Reads the first messages of calls. Use it in one event loop."""

    def __init__(
        self, most: int, refused: Callable[[Refusal], None] = lambda _reason: None
    ) -> None:
        """Start with none.

        Args:
            most: messages on their way at once.
            refused: called for each call that is refused.
        """
        self._reads = Reads(most)
        self.refused = refused

    async def read(self, context: Any, seconds: float, field: str = "message") -> bytes | None:
        """Read the first message of a call; None if its caller has half-closed or is gone.

        Ends the call if the message does not come.

        Args:
            context: the call, as gRPC gives it to a handler that takes a stream of bytes.
            seconds: longest time until the message is complete.
            field: names what is expected, for the caller.

        Raises:
            grpc.aio.AbortError: the call was ended.
        """
        late = Status(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            f"{field}: expected within {seconds:g} s, got none or a part of it",
        )
        return await self._read(context, seconds, ("late", late), ("crowded", _CROWDED))

    async def refuse_stream(self, context: Any, reason: Refusal, status: Status) -> None:
        """Wait for the first message of a stream if there is room, then end the stream; see REFUSED_SECONDS.

        Raises:
            grpc.aio.AbortError: always.
        """
        await self._read(context, REFUSED_SECONDS, (reason, status), (reason, status))
        self.refused(reason)
        await context.abort(*status)

    async def _read(
        self,
        context: Any,
        seconds: float,
        late: tuple[Refusal, Status],
        crowded: tuple[Refusal, Status],
    ) -> bytes | None:
        end = _Once(partial(self._end, context))
        # The read is never cancelled, because gRPC would not free it (grpc#43360). It returns when the call
        # is over, and then raises what `abort` raised.
        timer = asyncio.get_running_loop().call_later(seconds, end, *late)
        try:
            with self._reads.reading(context.peer(), partial(end, *crowded)):
                message: Any = await context.read()
        finally:
            timer.cancel()
        if message is grpc.aio.EOF:
            # Tells a caller that cancelled from one that half-closed: gRPC cancels the handler meanwhile.
            await context.read()
            return None
        content: bytes = message
        return content

    def _end(self, context: Any, reason: Refusal, status: Status) -> None:
        self.refused(reason)
        ending = asyncio.create_task(_abort(context, status))
        _ENDING.add(ending)
        ending.add_done_callback(_ENDING.discard)


class _Once:
    """Calls a function once, whatever asks for it first."""

    def __init__(self, act: Callable[[Refusal, Status], None]) -> None:
        self._act: Callable[[Refusal, Status], None] | None = act

    def __call__(self, reason: Refusal, status: Status) -> None:
        act, self._act = self._act, None
        if act is not None:
            act(reason, status)


async def _abort(context: Any, status: Status) -> None:
    try:
        await context.abort(*status)
    except grpc.aio.AbortError as aborted:
        aborted.__traceback__ = None  # See `grpc_calls`.
    except grpc.aio.BaseError:
        return  # The call is over, or is being ended for another reason, too.
