"""Keeps the open pages: each has a pen for its strokes, and a mailbox for the answers."""

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
"""Largest number of pages at once."""
_REMEMBERED = 1024
"""Number of strokes of a page whose numbers are kept; a digit has 64 at most."""

MakePen: TypeAlias = Callable[[OnResult], Pen]
"""Makes a pen that hands its results to a callback."""


class NoRoom(Exception):
    """Too many pages are open."""


class Sheet:
    """One page: writes its batches with a pen, and puts the answers into its mailbox."""

    def __init__(self, make_pen: MakePen) -> None:
        self.mailbox = Mailbox()
        self._writing = threading.Lock()
        self._strokes: dict[int, int] = {}
        """The page's number of each stroke, by the pen's number, oldest first."""
        self._begun = 0
        self._is_down = False
        self.last_batch = 0
        """Number of the last batch that was written."""
        self._pen = make_pen(self._take)

    def write(self, batch: Batch) -> None:
        """Write a batch, unless it was written before. Does not wait for answers.

        If the pen rejects a stroke, the page gets a message "trouble", and the other strokes are written.
        """
        with self._writing:
            if batch.number <= self.last_batch:
                return
            self.last_batch = batch.number
            for event in batch.events:
                self._do(event)

    def close(self) -> None:
        """Close the mailbox and the pen, which ends an open digit."""
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
        # The page may have lost the pen-up before.
        self._lift()
        number = self._begun + 1
        # Note the number first: an answer may come at once, in another thread.
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
        """Take a stroke back; an unknown one was never written, or is forgotten."""
        for number, known in reversed(self._strokes.items()):
            if known == stroke:
                if number == self._begun:
                    self._is_down = False
                del self._strokes[number]
                self._pen.erase(number)
                return

    def _give_up(self, error: InkstreamError) -> None:
        """Take back the stroke that is being drawn, after an error, and report it."""
        strokes = []
        if self._is_down:
            self._is_down = False
            strokes = [self._strokes.pop(self._begun)]
            # If this fails, the client is closed, and the stroke is lost in any case.
            with suppress(InkstreamError):
                self._pen.erase(self._begun)
        self.mailbox.put("trouble", {"message": str(error), "strokes": strokes})

    def _take(self, item: GlyphResult | InkstreamError) -> None:
        """Put a result or an error into the mailbox. Called in the thread of the connection."""
        if isinstance(item, InkstreamError):
            self.mailbox.put("trouble", trouble(item, self._strokes))
        else:
            self.mailbox.put("answer", answer(item, self._strokes))


class Sheets:
    """All open pages, by the names that they choose."""

    def __init__(self, make_pen: MakePen, most: int = MOST_SHEETS) -> None:
        self._make_pen = make_pen
        self._most = most
        self._lock = threading.Lock()
        self._open: dict[str, Sheet] = {}

    def open(self, name: str) -> tuple[Sheet, bool]:
        """Give a page's sheet, and whether it was open already.

        Raises:
            NoRoom: it was not open, and too many others are.
        """
        with self._lock:
            if (found := self._open.get(name)) is not None:
                return found, True
            if len(self._open) >= self._most:
                raise NoRoom
            made = self._open[name] = Sheet(self._make_pen)
            return made, False

    def find(self, name: str) -> Sheet | None:
        """Give a page's sheet; None if it is not open."""
        with self._lock:
            return self._open.get(name)

    def close(self, name: str, sheet: Sheet) -> None:
        """Close a page's sheet, unless another one has its name by now."""
        with self._lock:
            if self._open.get(name) is not sheet:
                return
            del self._open[name]
        sheet.close()

    def tell(self, kind: str, body: dict[str, Any]) -> None:
        """Put a message into all mailboxes."""
        with self._lock:
            sheets = [*self._open.values()]
        for sheet in sheets:
            sheet.mailbox.put(kind, body)

    def __len__(self) -> int:
        return len(self._open)
