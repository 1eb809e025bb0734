"""The pages that are open: each has a pen that writes what it says, and a mailbox for what comes back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeAlias

from inkstream import GlyphResult, InkstreamError, Pen
from inkstream._options.pen import OnResult
from inkstream.cli.board.answers import answer, trouble
from inkstream.cli.board.batches import Batch, Clear, Down, Erase, Event, Move, Up
from inkstream.cli.board.mailbox import Mailbox

MOST_SHEETS = 32
"""Pages at once."""
_REMEMBERED = 1024
"""Strokes of a page whose numbers are known; a digit has 64 at most."""

MakePen: TypeAlias = Callable[[OnResult], Pen]
"""Gives a pen that hands its results over."""


class NoRoom(Exception):
    """As many pages are open as may be."""


class Sheet:
    """One page: turns its batches into ink, and gathers the answers."""

    def __init__(self, make_pen: MakePen) -> None:
        self.mailbox = Mailbox()
        self._writing = threading.Lock()
        self._strokes: dict[int, int] = {}
        """The page's number of each stroke, by the pen's; what is written last stands last."""
        self._begun = 0
        self._is_down = False
        self._last_batch = 0
        self._pen = make_pen(self._take)

    @property
    def last_batch(self) -> int:
        """Number of the last batch that was taken."""
        return self._last_batch

    def write(self, batch: Batch) -> None:
        """Write what happened on the page; nothing where that is known already. Does not wait for answers.

        A stroke that the pen does not take is told to the page as a trouble, and the others are written.
        """
        with self._writing:
            if batch.number <= self._last_batch:
                return
            self._last_batch = batch.number
            for event in batch.events:
                self._do(event)

    def close(self) -> None:
        """The page is gone: its open digit ends."""
        self.mailbox.close()
        with self._writing:
            self._pen.close()

    def _do(self, event: Event) -> None:
        try:
            match event:
                case Down(stroke, points):
                    self._begin(stroke, points[0])
                    self._move(points[1:])
                case Move(points):
                    self._move(points)
                case Up():
                    self._lift()
                case Erase(stroke):
                    self._erase(stroke)
                case Clear():
                    self._is_down = False
                    self._pen.clear()
        except InkstreamError as error:
            self._give_up(error)

    def _begin(self, stroke: int, point: tuple[float, float, float, float]) -> None:
        # A page whose pointer went astray may not have said that the tip lifted.
        self._lift()
        number = self._begun + 1
        # Known before it is written: what comes of it may come at once, in another thread.
        self._strokes[number] = stroke
        if len(self._strokes) > _REMEMBERED:
            del self._strokes[next(iter(self._strokes))]
        try:
            self._pen.down(*point)
        except InkstreamError as error:
            self._strokes.pop(number, None)
            self.mailbox.put("trouble", {"message": str(error), "strokes": [stroke]})
            return
        self._begun = number
        self._is_down = True

    def _move(self, points: tuple[tuple[float, float, float, float], ...]) -> None:
        if self._is_down and points:
            self._pen.points(points)

    def _lift(self) -> None:
        if self._is_down:
            self._is_down = False
            self._pen.up()

    def _erase(self, stroke: int) -> None:
        """Take a stroke back; one that is not known was never written, or long ago."""
        for number, known in reversed(self._strokes.items()):
            if known == stroke:
                if number == self._begun:
                    self._is_down = False
                del self._strokes[number]
                self._pen.erase(number)
                return

    def _give_up(self, error: InkstreamError) -> None:
        """The stroke that is being drawn cannot go on: it is taken back."""
        about = {}
        if self._is_down:
            self._is_down = False
            about = {self._begun: self._strokes.pop(self._begun)}
            # Where that is refused, the client is closed and the stroke is gone as well.
            with suppress(InkstreamError):
                self._pen.erase(self._begun)
        self.mailbox.put("trouble", {"message": str(error), "strokes": [*about.values()]})

    def _take(self, item: GlyphResult | InkstreamError) -> None:
        """Something came back. In the thread of the connection."""
        if isinstance(item, InkstreamError):
            self.mailbox.put("trouble", trouble(item, self._strokes))
        else:
            self.mailbox.put("answer", answer(item, self._strokes))


class Sheets:
    """All pages that are open, by names that they give themselves."""

    def __init__(self, make_pen: MakePen, most: int = MOST_SHEETS) -> None:
        self._make_pen = make_pen
        self._most = most
        self._lock = threading.Lock()
        self._open: dict[str, Sheet] = {}

    def open(self, name: str) -> tuple[Sheet, bool]:
        """Give a page's sheet, and whether it was open already.

        Raises:
            NoRoom: it was not, and there is no room for another.
        """
        with self._lock:
            if (found := self._open.get(name)) is not None:
                return found, True
            if len(self._open) >= self._most:
                raise NoRoom
            made = self._open[name] = Sheet(self._make_pen)
            return made, False

    def find(self, name: str) -> Sheet | None:
        """Give a page's sheet, None where it is not open."""
        with self._lock:
            return self._open.get(name)

    def close(self, name: str, sheet: Sheet) -> None:
        """Close a page's sheet, if it is still the one that is open under this name."""
        with self._lock:
            if self._open.get(name) is not sheet:
                return
            del self._open[name]
        sheet.close()

    def tell(self, kind: str, body: dict[str, Any]) -> None:
        """Tell all pages."""
        with self._lock:
            sheets = [*self._open.values()]
        for sheet in sheets:
            sheet.mailbox.put(kind, body)

    def __len__(self) -> int:
        return len(self._open)
