"""Pens of the sync and of the async client: how a loop waits for their results."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Self

from inkstream._exceptions import InkstreamError
from inkstream._options.pen import OnResult
from inkstream._pens.base import PenBase
from inkstream._pens.outbox import InkOutbox
from inkstream._results.glyphs import GlyphResult
from inkstream.v1 import ink_pb2


class Pen(PenBase):
    """A pen that writes, see `Client.pen`. Iterating it yields results as they come.

    A loop in the thread that writes ends when all that it has written has its final result; write more
    and iterate again. A loop in another thread waits for more until the pen is closed. As long as
    nobody has written, a loop waits, too: another thread may be about to. If there may be nothing to
    write, call `end_glyph` or `close` before the loop.
    """

    def __init__(
        self,
        outbox: InkOutbox,
        opening: ink_pb2.PenOpen,
        wake: Callable[[], None],
        on_result: OnResult | None,
    ) -> None:
        """For clients only: `Client.pen` and `AsyncClient.pen` make pens."""
        self._changed = threading.Condition()
        super().__init__(outbox, opening, wake, on_result)

    def __iter__(self) -> Iterator[GlyphResult]:
        """Yield results in the order in which they come.

        Raises:
            InkstreamError: something of this pen got no result; other pens are not affected. You may
                iterate again, and write.
        """
        while True:
            self._outbox.require_own_process()
            with self._changed:
                while not self._inbox:
                    if self._is_over():
                        return
                    self._changed.wait()
                item = self._inbox.get()
            if isinstance(item, InkstreamError):
                raise item
            yield item

    def recheck(self) -> None:
        """For the connection: check again whether a result is due."""
        with self._changed:
            self._changed.notify_all()

    def _current(self) -> object:
        return threading.get_ident()


class AsyncPen(PenBase):
    """A pen that writes, see `AsyncClient.pen`. `async for` yields results as they come.

    A loop in the task that writes ends when all that it has written has its final result; write more
    and iterate again. A loop in another task waits for more until the pen is closed. As long as
    nobody has written, a loop waits, too: another task may be about to. If there may be nothing to
    write, call `end_glyph` or `close` before the loop. Methods that write never wait: do not await
    them.
    """

    def __init__(
        self,
        outbox: InkOutbox,
        opening: ink_pb2.PenOpen,
        wake: Callable[[], None],
        on_result: OnResult | None,
    ) -> None:
        """For clients only: `Client.pen` and `AsyncClient.pen` make pens."""
        self._changed = asyncio.Event()
        super().__init__(outbox, opening, wake, on_result)

    async def __aiter__(self) -> AsyncIterator[GlyphResult]:
        """Yield results in the order in which they come. Cancelling it loses none.

        Raises:
            InkstreamError: something of this pen got no result; other pens are not affected. You may
                iterate again, and write.
        """
        while True:
            self._outbox.require_own_process()
            while not self._inbox:
                if self._is_over():
                    return
                self._changed.clear()
                await self._changed.wait()
            item = self._inbox.get()
            if isinstance(item, InkstreamError):
                raise item
            yield item

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def recheck(self) -> None:
        """For the connection: check again whether a result is due."""
        self._changed.set()

    def _current(self) -> object:
        return asyncio.current_task()
