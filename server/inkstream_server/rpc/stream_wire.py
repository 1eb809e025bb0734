"""A gRPC stream as a session needs it: messages as bytes, read and written."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import grpc

from inkstream_server.metrics.grpc_calls import counts_of
from inkstream_server.streams.session import LAST_OPERATIONS_SECONDS


class StreamWire:
    """A gRPC stream as a `session.Wire`. Counts its messages itself, see `counts_of`."""

    def __init__(self, context: Any) -> None:
        """Read and write through the context of a handler."""
        context, self._received, self._sent = counts_of(context)
        self._read: Any = context.read
        self._write: Any = context.write

    async def read(self) -> bytes | None:
        """See `session.Wire`."""
        message: Any = await self._read()
        if message is grpc.aio.EOF:
            # A caller that cancelled looks like one that half-closed until gRPC cancels the handler, a
            # moment later. A second read returns after that, so it tells the two apart. A handler that
            # returned before would also leak (grpc#43360). The read returns at once; the limit is for faults.
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_OPERATIONS_SECONDS):
                    await self._read()
            return None
        self._received.inc()
        content: bytes = message
        return content

    def close(self) -> None:
        """Hold the call no longer: gRPC frees it, and all that it holds, with the last reference to it."""
        self._read = self._write = None

    def write(self, message: bytes) -> Coroutine[Any, Any, None]:
        """See `session.Wire`."""
        self._sent.inc()
        writing: Coroutine[Any, Any, None] = self._write(message)
        return writing
