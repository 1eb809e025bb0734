"""What a stream owes its caller: kept in the order of arrival, written when complete. Reads nothing.

Answers that are complete by the time the writer comes round leave in one message. Where nothing waits no
writer is needed: whoever has an answer begins to write it, and goes on. What is left of such a write is over
by the next message, or else whoever wants to write next waits for it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from math import inf
from time import perf_counter
from typing import Any

from inkstream_server.metrics.clients import ClientFigures
from inkstream_server.metrics.items import Metrics
from inkstream_server.streams.eager_write import EagerWrite
from inkstream_server.wire.columns import Columns, stream_message
from inkstream_server.wire.response import Reply, Response

Write = Callable[[bytes], Coroutine[Any, Any, None]]
"""Hands a serialised `StreamRecognizeResponse` to the transport; waits while the caller does not keep up."""


class Outbox:
    """A first-in-first-out of what is due to one caller.

    Items count against the window from when they are put in until they are written.
    """

    def __init__(
        self,
        write: Write,
        window: int,
        metrics: Metrics,
        client: ClientFigures,
        written: Callable[[float], None],
    ) -> None:
        """Prepare.

        Args:
            write: called for one message at a time.
            window: items unanswered at once, from which on the outbox is full.
            metrics: counts who waits for room.
            client: counts what the caller is answered.
            written: told after each write how many seconds the transport took.
        """
        self._write = write
        self._window = window
        self._metrics = metrics
        self._client = client
        self._written = written
        self._due: deque[Reply] = deque()
        self._items = 0
        self._is_ended = False
        self._is_closed = False
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._writing_since = inf
        self._begun: EagerWrite | None = None
        self._begun_items = 0

    @property
    def owes(self) -> bool:
        """Whether anything is unanswered, or not yet written."""
        return bool(self._due or self._items)

    @property
    def last(self) -> Reply | None:
        """What came last, if it still waits."""
        return self._due[-1] if self._due else None

    def put(self, due: Reply) -> None:
        """Owe this after everything else; after `close` it is withdrawn."""
        if self._is_closed:
            # Of a caller who is gone: the final answers of digits in the making.
            due.withdraw()
            return
        self._due.append(due)
        self._items += due.items
        self._wake.set()

    def put_first(self, due: Reply) -> None:
        """Owe this before everything else; it must weigh nothing."""
        self._due.appendleft(due)
        self._wake.set()

    def grow(self, items: int) -> None:
        """Note that what came last has so many items more."""
        self._items += items

    def is_idle(self) -> bool:
        """Tell whether nothing waits and no write is under way: `write_now` may be called.

        Raises: what is wrong with the transport, if a write that was begun has failed.
        """
        return not self._due and self._is_free()

    def write_now(self, columns: Sequence[Columns], items: int, arrived: float) -> None:
        """Begin to write an answer, and do not wait; only when idle.

        Args:
            columns: the answer.
            items: how many it answers.
            arrived: when they did, on the clock of `time.perf_counter`, in seconds.
        """
        self._client.answer(columns)
        self._writing_since = arrived
        self._begun_items = items
        self._items += items
        self._begun = EagerWrite(self._write(stream_message(columns)))

    @property
    def is_full(self) -> bool:
        """Whether the window is used up: the stream should not be read on."""
        return self._items >= self._window and not self._is_closed

    async def has_room(self) -> None:
        """Wait until the window has room again."""
        while self.is_full:
            if self._begun is not None:
                await self._end_begun()
                continue
            self._room.clear()
            with self._metrics.held_streams.track_inprogress():
                await self._room.wait()

    def held_seconds(self, now: float) -> float:
        """Tell how long the caller has not read what is being written; -inf where nothing is.

        Args:
            now: on the clock of `time.perf_counter`, in seconds.
        """
        self._is_free()
        return now - self._writing_since

    def end(self) -> None:
        """Let `run` return when all that is due has been written: no more will be put in."""
        self._is_ended = True
        self._wake.set()

    def close(self) -> None:
        """Withdraw what is due, and let everybody who waits here go."""
        self._is_closed = True
        # What will never be written is dropped by the batcher.
        for due in self._due:
            due.withdraw()
        self._due.clear()
        self._room.set()
        self._wake.set()

    def give_up(self) -> None:
        """Give up a write that was begun; after `close`."""
        if self._begun is not None:
            self._begun.close()

    async def run(self) -> None:
        """Write what is due, in order, until `end` or `close`.

        Raises: what is wrong with the transport.
        """
        while True:
            if not self._due:
                if self._is_ended or self._is_closed:
                    await self._end_begun()
                    return
                self._wake.clear()
                await self._wake.wait()
                continue
            await self._due[0].ready()
            await self._end_begun()
            response = Response()
            items = 0
            while self._due and self._due[0].is_complete():
                due = self._due.popleft()
                due.append(response)
                items += due.items
            message = response.to_bytes()
            if not message:
                # An interim was replaced while it waited, or its batch failed.
                self._leave(items)
                continue
            self._client.answer(response.columns, response.glyphs, response.refused)
            self._writing_since = perf_counter()
            try:
                await self._write(message)
                self._written(perf_counter() - self._writing_since)
            finally:
                self._writing_since = inf
                self._leave(items)

    def _is_free(self) -> bool:
        """Tell whether no write is under way, once what is left of a write that was begun is settled."""
        if self._begun is not None and self._begun.settle():
            self._begun = None
            self._writing_since = inf
            self._leave(self._begun_items)
        return self._writing_since == inf

    async def _end_begun(self) -> None:
        """Wait until nothing is left of a write that was begun."""
        while self._begun is not None:
            await self._begun.rest()
            self._is_free()

    def _leave(self, items: int) -> None:
        self._items -= items
        self._room.set()
