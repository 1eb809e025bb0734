"""Writing with a pen, and whether results are still due: the common part of both clients' pens."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from inkstream._exceptions import ClientClosed, InkstreamError
from inkstream._options.pen import OnResult
from inkstream._pens.outbox import InkOutbox
from inkstream._pens.point_coder import Columns, StrokeCoder
from inkstream._pens.reader import Inbox
from inkstream._results.glyphs import GlyphResult
from inkstream.ink import InvalidInk
from inkstream.ink._ink import table_of
from inkstream.v1 import ink_pb2

_PIECE = 4096
"""Points of an array that are coded together."""
_log = logging.getLogger("inkstream")


class PenBase:
    """A pen that writes. See `Client.pen` and `AsyncClient.pen`.

    No method that writes waits: points leave in the background, packed with those of the client's other
    pens every `packet_ms`, and at once when the pen lifts. One thread or task at a time may write.
    """

    def __init__(
        self,
        outbox: InkOutbox,
        opening: ink_pb2.PenOpen,
        wake: Callable[[], None],
        on_result: OnResult | None,
    ) -> None:
        """For clients only: `Client.pen` and `AsyncClient.pen` make pens."""
        self._outbox = outbox
        self._wake = wake
        self._on_result = on_result
        self._counts = opening.counts_per_unit
        self._journal = outbox.new_pen(opening, self)
        self._coder: StrokeCoder | None = None
        self._shift_ms: int | None = None
        self._strokes = 0
        self._has_ink = False
        self._inbox = Inbox(outbox.room)
        self._writer: object = None

    @property
    def number(self) -> int:
        """The pen's number within its client; results name it."""
        return self._journal.number

    @property
    def is_closed(self) -> bool:
        """Whether nothing more can be written."""
        return self._journal.is_closed

    def down(
        self, x: float, y: float, t: float | None = None, pressure: float | None = None
    ) -> int:
        """The tip touches.

        Args:
            x: to the right, in the pen's units.
            y: down or up, as the pen's option `y` says.
            t: milliseconds on any clock, the same for all strokes of the pen; may be below 0. All points
                of a stroke have it, or none.
            pressure: 0 to 1. All points of a stroke have it, or none.

        Returns: the stroke's number, by which results and `erase` know it.

        Raises:
            InvalidInk: a number is not finite or too large, the tip is down already, or there are more
                points than `ink_buffer`.
            Overloaded: too many points wait to be sent, or pens hold too much, see `ink_buffer`.
            ClientClosed: the pen or its client was closed.
        """
        coder = self._new_coder(t, has_pressure=pressure is not None)
        return self._begin(coder, coder.point(x, y, t, pressure))

    def move(
        self, x: float, y: float, t: float | None = None, pressure: float | None = None
    ) -> None:
        """The tip, which must be down, moves. Arguments and errors as for `down`."""
        coder = self._coder
        if coder is None:
            raise InvalidInk("move: the tip is up; put it down with down(x, y) first")
        columns = coder.point(x, y, t, pressure)
        try:
            wakes = self._outbox.add(self._journal, columns)
        except InkstreamError:
            coder.take_back()
            raise
        if wakes:
            self._wake()

    def points(self, points: npt.ArrayLike) -> None:
        """The tip moves along many points.

        Args:
            points: array-like of shape (n, 2): x, y; a third column is t in ms, a fourth the pressure.

        Raises:
            InvalidInk: as for `move`. The points before the wrong one may be written, in pieces of 4,096.
        """
        coder = self._coder
        if coder is None:
            raise InvalidInk("points: the tip is up; put it down with down(x, y) first")
        self._write(coder, table_of(points))

    def up(self) -> None:
        """The tip lifts: a provisional result follows.

        Raises:
            InvalidInk: it is up already.
            ClientClosed: the client was closed.
        """
        if self._coder is None:
            raise InvalidInk("up: the tip is up already")
        self._coder = None
        if self._outbox.end_stroke(self._journal):
            self._wake()

    def stroke(self, points: npt.ArrayLike) -> int:
        """Write a whole stroke: down, points, up.

        Args:
            points: as for the method `points`; at least one.

        Returns: the stroke's number.

        Raises:
            InvalidInk: as for `down`; nothing is written then.
        """
        table = table_of(points)
        if not len(table):
            raise InvalidInk("points: expected at least one, got none")
        width = table.shape[1]
        t = float(table[0, 2]) if width > 2 else None
        coder = self._new_coder(t, has_pressure=width > 3)
        number = self._begin(coder, coder.points(table))
        self.up()
        return number

    def end_glyph(self) -> None:
        """End the digit: its final result follows, without a quiet time. Lifts the tip if need be.

        Raises:
            ClientClosed: the pen or its client was closed.
        """
        self._require_open()
        self._writer = self._current()
        if self._coder is not None:
            self.up()
        if self._has_ink:
            self._has_ink = False
            self._put(self._outbox.end_glyph)

    def erase(self, stroke: int) -> None:
        """Remove a stroke: its digit is recognised again without it.

        A digit with a final result keeps it: the server answers the erasure with an error. No loop over the
        pen waits for that error; it comes in a loop that still runs, or in the next one.

        Raises:
            InvalidInk: there is no such stroke.
            Overloaded: its digit has a final result, and pens hold too much, see `ink_buffer`.
            ClientClosed: the pen or its client was closed.
        """
        self._require_open()
        if not 0 < stroke <= self._strokes:
            has = (
                f"expected 1 to {self._strokes}" if self._strokes else "the pen has no strokes yet"
            )
            raise InvalidInk(f"stroke: {has}, got {stroke!r}")
        if stroke == self._strokes:
            # If it is being drawn, the rest of it does not count.
            self._coder = None
        self._put(self._outbox.erase, stroke)

    def clear(self) -> None:
        """Remove all ink without a final result; it gets none. What of it waits to be sent is not sent.

        Raises:
            ClientClosed: the pen or its client was closed.
        """
        self._require_open()
        self._coder = None
        self._has_ink = False
        self._put(self._outbox.clear)

    def close(self) -> None:
        """Write no more: an open digit gets its final result. Does not wait; may be called again.

        In a forked child it does nothing: the pen is the parent's.
        """
        if self._journal.is_closed or self._outbox.is_inherited:
            return
        self._coder = None
        if self._outbox.close_pen(self._journal):
            self._wake()
        self.recheck()

    def deliver(self, item: GlyphResult | InkstreamError) -> None:
        """For the connection: a result arrives, or the error of something that gets none."""
        if self._on_result is None:
            self._inbox.put(item)
        else:
            try:
                self._on_result(item)
            except Exception:  # noqa: BLE001 - whatever it raises
                # As with callbacks of futures: an error of the caller's must not end the stream.
                _log.exception("on_result of pen %d failed", self.number)
        self.recheck()

    def recheck(self) -> None:
        """For the connection: check again whether a result is due."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(number={self.number}, strokes={self._strokes})"

    def _new_coder(self, t: float | None, *, has_pressure: bool) -> StrokeCoder:
        return StrokeCoder(self._counts, t, has_pressure=has_pressure, shift_ms=self._shift_ms)

    def _begin(self, coder: StrokeCoder, first: Columns) -> int:
        """Begin a stroke with its first points; returns its number."""
        self._require_open()
        if self._coder is not None:
            raise InvalidInk("the tip is down already; lift it with up() first")
        stroke = self._strokes + 1
        self._writer = self._current()
        wakes = self._outbox.begin(self._journal, stroke, coder.time_ms, first)
        self._coder, self._strokes, self._has_ink = coder, stroke, True
        if coder.has_time:
            self._shift_ms = coder.shift_ms
        if wakes:
            self._wake()
        return stroke

    def _write(self, coder: StrokeCoder, table: npt.NDArray[np.float64]) -> None:
        wakes = False
        try:
            for start in range(0, len(table), _PIECE):
                columns = coder.points(table[start : start + _PIECE])
                try:
                    wakes |= self._outbox.add(self._journal, columns)
                except InkstreamError:
                    coder.take_back()
                    raise
        finally:
            if wakes:
                self._wake()

    def _put(self, method: Callable[..., bool], *arguments: int) -> None:
        """Write something but points by a method of the outbox."""
        self._writer = self._current()
        if method(self._journal, *arguments):
            self._wake()
        self.recheck()

    def _current(self) -> object:
        """The running thread or task."""
        raise NotImplementedError

    def _is_over(self) -> bool:
        """Whether no result can follow as things stand, for the thread or task that asks."""
        journal = self._journal
        # In this order: another thread may write and close the pen in between.
        is_last = journal.is_closed or self._outbox.is_closed or self._writer == self._current()
        return is_last and not self._outbox.is_pending([journal])

    def _require_open(self) -> None:
        self._outbox.require_own_process()
        if self._journal.is_closed:
            raise ClientClosed("the pen is closed: make a new one")
