"""The replies of a stream, in the order of arrival: written when they are complete. Reads nothing.

Replies that are complete when the writer runs leave in one message. When the stream is idle, the reader
starts the write of a complete reply itself, and reads on; the next write waits for it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from math import inf
from time import perf_counter
from typing import Any, Protocol

from inkstream.v1.recognition_service_pb2 import Draining

from inkstream_server.limits.memory_book import Account, Kind
from inkstream_server.metrics.clients import ClientFigures
from inkstream_server.metrics.items import Metrics
from inkstream_server.streams.eager_write import EagerWrite
from inkstream_server.wire.response import Response

Write = Callable[[bytes], Coroutine[Any, Any, None]]
"""Hands a serialised `StreamRecognizeResponse` to the transport; waits while the caller does not keep up."""


MESSAGE_SECONDS = 0.0005
"""How long replies are added to one message: those of 20 digits, or of 5,000 images."""

MOST_UNPACKED = 32
"""Replies that may wait behind a write with all that computing them needed: a row of a batch keeps the whole
batch in memory, some 30 kB. Fewer than that leave together in any case."""


UNCOUNTED_BYTES = 1024
"""A message that the reader itself writes is counted if it is larger: there is one of a stream, and to count
the answer to a lone image would take a fiftieth of its time."""


class Reply(Protocol):
    """The answer to something that a stream brought."""

    items: int
    """Its weight in the stream's window."""

    @property
    def kind(self) -> Kind:
        """What it holds memory for."""

    @property
    def size(self) -> int:
        """Bytes that it holds; changes in `pack` alone while it waits."""

    def is_complete(self) -> bool:
        """Whether it can be written."""

    async def ready(self) -> None:
        """Wait until it may be complete. Cancelling harms nothing."""

    def pack(self) -> None:
        """Give up what only computing needed, since the reply waits to be written; only when complete."""

    def append(self, response: Response) -> None:
        """Add it to a response, and count it; only when complete."""

    def withdraw(self) -> None:
        """Give it up: it will never be written."""


class Outbox:
    """A first-in-first-out of the replies to one caller.

    Items count against the window, and bytes in the stream's account, from when they are put in until they
    are written.
    """

    def __init__(
        self,
        write: Write,
        window: int,
        metrics: Metrics,
        client: ClientFigures,
        written: Callable[[float], None],
        account: Account,
        opening: bytes = b"",
    ) -> None:
        """Prepare.

        Args:
            write: called for one message at a time.
            window: items unanswered at once, from which on the outbox is full.
            metrics: counts readers that wait for room.
            client: counts answers to this kind of client.
            written: called after each write of the writer with the seconds that transport took.
            account: counts what replies and messages hold.
            opening: a message that is written before all replies; empty for none.
        """
        self._write = write
        self._window = window
        self._metrics = metrics
        self._client = client
        self._written = written
        self._account = account
        self._opening = opening
        self._replies: deque[Reply] = deque()
        self._packed = 0
        self._draining: Draining | None = None
        self._items = 0
        self._is_ended = False
        self._is_closed = False
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._writing_since = perf_counter() if opening else inf
        self._eager: EagerWrite | None = None
        self._eager_items = self._eager_size = 0

    @property
    def is_empty(self) -> bool:
        """Whether everything is answered, and every answer written."""
        return not self._replies and not self._items and not self._opening

    @property
    def last(self) -> Reply | None:
        """The reply that was put in last, if it still waits."""
        return self._replies[-1] if self._replies else None

    def put(self, reply: Reply) -> None:
        """Have a reply leave after all others; after `close` it is withdrawn."""
        if self._is_closed:
            # The caller is gone, but the pens still ask for the final answers of open glyphs.
            reply.withdraw()
            return
        self._replies.append(reply)
        self._items += reply.items
        self._account.hold(reply.kind, reply.size)
        if self._writing_since != inf and len(self._replies) - self._packed > MOST_UNPACKED:
            self._pack()
        self._wake.set()

    def announce(self, draining: Draining) -> None:
        """Send a drain notice with the next message: the sooner callers leave, the less they wait."""
        self._draining = draining
        self._wake.set()

    def grow(self, reply: Reply, items: int, size: int) -> None:
        """Note that the last reply has so many items and bytes more."""
        self._items += items
        self._account.hold(reply.kind, size)

    def is_idle(self) -> bool:
        """Whether nothing waits and no write is under way, so that `write_now` may be called.

        Raises: what is wrong with the transport, if an eager write has failed.
        """
        return not self._replies and self._is_free()

    def write_now(self, reply: Reply) -> None:
        """Start to write a complete reply, and do not wait; only when idle."""
        response = Response()
        reply.append(response)
        message = self._counted(response)
        self._eager_items, size = reply.items, len(message)
        if size > UNCOUNTED_BYTES:
            self._eager_size = size
            self._account.hold("answers", size)
        self._items += reply.items
        self._eager = EagerWrite(self._write(message))

    @property
    def is_full(self) -> bool:
        """Whether the stream should not be read on: its window is used up, or its memory.

        A stream that waits for nothing is read on in any case: only its events can free what its pens hold.
        """
        return (
            self._items > 0
            and (self._items >= self._window or self._account.is_crowded)
            and not self._is_closed
        )

    async def has_room(self) -> None:
        """Wait until the window has room again."""
        self._pack()
        while self.is_full:
            if self._eager is not None:
                await self._end_eager()
                continue
            self._room.clear()
            with self._metrics.held_streams.track_inprogress():
                await self._room.wait()

    def held_seconds(self, now: float) -> float:
        """Give how long the caller has not read what is being written; -inf if nothing is.

        Args:
            now: on the clock of `time.perf_counter`, in seconds.
        """
        self._is_free()
        return now - self._writing_since

    def end(self) -> None:
        """Let `run` return when all replies have been written: no more will be put in."""
        self._is_ended = True
        self._wake.set()

    def close(self) -> None:
        """Withdraw all replies, and wake everything that waits here."""
        self._is_closed = True
        # The batcher drops what will never be written.
        for reply in self._replies:
            self._account.hold(reply.kind, -reply.size)
            reply.withdraw()
        self._replies.clear()
        self._packed = 0
        self._room.set()
        self._wake.set()

    def give_up(self) -> None:
        """Give up an eager write; after `close`."""
        if self._eager is not None:
            self._eager.close()

    async def run(self) -> None:
        """Write replies, in order, until `end` or `close`.

        Raises: what is wrong with the transport.
        """
        if self._opening:
            await self._put_through(self._opening, 0)
            self._opening = b""
        while True:
            if not self._replies and self._draining is None:
                if self._is_ended or self._is_closed:
                    await self._end_eager()
                    return
                self._wake.clear()
                await self._wake.wait()
                continue
            if self._draining is None:
                await self._replies[0].ready()
            await self._end_eager()
            response, items = Response(draining=self._draining), 0
            self._draining = None
            until = perf_counter() + MESSAGE_SECONDS
            while self._replies and self._replies[0].is_complete():
                reply = self._replies.popleft()
                self._account.hold(reply.kind, -reply.size)
                reply.append(response)
                items += reply.items
                self._packed = max(0, self._packed - 1)
                if perf_counter() >= until:
                    break  # The rest leaves in the next message, and other streams come between.
            message = self._counted(response)
            if not message:
                # An interim was replaced while it waited, or its batch failed.
                self._leave(items)
                continue
            # Packed results and errors are in the message, too, and not needed any more.
            del response
            await self._put_through(message, items)

    async def _put_through(self, message: bytes, items: int) -> None:
        """Write a message that answers so many items."""
        self._account.hold("answers", len(message))
        try:
            await self._write(message)
            if items:
                self._written(perf_counter() - self._writing_since)
        finally:
            self._account.hold("answers", -len(message))
            self._writing_since = inf
            self._leave(items)

    def _pack(self) -> None:
        """Pack the replies that are complete, up to the first one that is not."""
        while self._packed < len(self._replies):
            reply = self._replies[self._packed]
            if not reply.is_complete():
                return
            kind, size = reply.kind, reply.size
            reply.pack()
            self._account.hold(kind, -size)
            self._account.hold(reply.kind, reply.size)
            self._packed += 1

    def _counted(self, response: Response) -> bytes:
        """Serialise a response that is written now, and count what it answers."""
        message = response.to_bytes()
        if message:
            self._client.answer(response.results, response.glyphs, response.error_count)
            self._writing_since = perf_counter()
        return message

    def _is_free(self) -> bool:
        """Whether no write is under way; settles an eager write that can go on."""
        if self._eager is not None and self._eager.settle():
            self._eager = None
            self._writing_since = inf
            if self._eager_size:
                self._account.hold("answers", -self._eager_size)
                self._eager_size = 0
            self._leave(self._eager_items)
        return self._writing_since == inf

    async def _end_eager(self) -> None:
        """Wait until no eager write is under way."""
        while self._eager is not None:
            await self._eager.rest()
            self._is_free()

    def _leave(self, items: int) -> None:
        self._items -= items
        self._room.set()
