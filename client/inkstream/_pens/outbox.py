"""Ink that waits to be sent: what all pens of a client did since the last message left.

Any thread adds, one takes. Knows neither sockets nor event loops; time comes from its clock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count

from inkstream._exceptions import InkstreamError
from inkstream._fork import Inheritable
from inkstream._pens.journal import PenJournal
from inkstream._pens.opening import Openings
from inkstream._pens.point_coder import Columns
from inkstream._pens.reader import Reader
from inkstream._pens.room import PEN_BYTES, InkRoom
from inkstream._pens.wakeups import Wakeups
from inkstream._pens.written import (
    ACT_BYTES,
    CLOSE,
    GLYPH_END,
    STROKE_END,
    SentStroke,
    Waiting,
    begun,
    bytes_more,
    cut,
    date,
    extend,
    points_in,
    whole_strokes,
)
from inkstream._results.glyphs import GlyphResult
from inkstream.v1 import error_pb2, ink_pb2

MOST_POINTS = 8192
"""Greatest number of points in one message; a few tens of kilobytes."""
MOST_EVENTS = 2048
"""Other events after which a message takes no further pen; only points cut a pen's turn short."""


class InkOutbox(Inheritable):
    """What pens did and no message carries yet, and the journals of the pens.

    **One lock.** It guards all journals and is held only inside the methods of this class, never while a
    reader is called: a reader may write, which takes the lock again. So an answer takes two steps.
    `answered` and `refused` note it and return what the reader gets; once the reader has it, `settle` drops
    the strokes that it settles. A reader that finds nothing pending has therefore received everything.

    **Bytes.** `room` counts what all pens hold. When it is full, more ink is refused, but nothing that ends
    ink or takes it back.
    """

    def __init__(
        self,
        *,
        packet_seconds: float,
        most_points: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start empty.

        Args:
            packet_seconds: how long a point waits for others to share its message.
            most_points: points that may wait before more are refused.
            clock: seconds that only go forward.
        """
        super().__init__()
        self._clock = clock
        self.room = InkRoom(most_points)
        self._openings = Openings()
        self._numbers = count(1)
        self._lock = threading.Lock()
        self._open: dict[int, PenJournal] = {}
        self._ready: dict[PenJournal, None] = {}
        self._wakeups = Wakeups(packet_seconds, clock)

    def __len__(self) -> int:
        """Pens that have something to send."""
        return len(self._ready)

    def new_pen(self, opening: ink_pb2.PenOpen, reader: Reader) -> PenJournal:
        """Give a new pen its number.

        Raises:
            ClientClosed: the outbox was closed.
            Overloaded: pens hold too much already.
        """
        with self._lock:
            self.require_open()
            self.room.require(PEN_BYTES + opening.ByteSize())
            kept, more = self._openings.use(opening)
            self.room.pens += PEN_BYTES + more
            journal = PenJournal(next(self._numbers), kept, reader)
            self._open[journal.number] = journal
        return journal

    def begin(self, journal: PenJournal, stroke: int, time_ms: int, first: Columns) -> bool:
        """A stroke begins with its first points; returns whether the caller must wake the taker.

        Raises:
            ClientClosed: the outbox was closed.
            InvalidInk: these are more points than may wait at all.
            Overloaded: too many points wait already.
        """
        events, size = begun(stroke, time_ms, first)
        points = len(first[0])
        with self._lock:
            self.require_open()
            self.room.require(size, points)
            journal.unanswered[stroke] = SentStroke(self._clock())
            journal.stroke = stroke
            journal.is_timed = journal.is_timed or bool(time_ms or first[2])
            journal.waiting += events
            self._hold(journal, size, points)
            return self._added(journal, is_urgent=False)

    def add(self, journal: PenJournal, columns: Columns) -> bool:
        """Append points to the open stroke; drops them if that is over. Otherwise as `begin`."""
        points = len(columns[0])
        with self._lock:
            if not journal.stroke:
                return False
            self.require_open()
            size = bytes_more(journal.waiting, points)
            self.room.require(size, points)
            extend(journal.waiting, columns)
            self._hold(journal, size, points)
            return self._added(journal, is_urgent=False)

    def end_glyph(self, journal: PenJournal) -> bool:
        """End the digit, at once; returns whether the caller must wake the taker.

        Never refused for want of room, and nor is the end of a stroke.

        Raises:
            ClientClosed: the outbox was closed.
        """
        with self._lock:
            self.require_open()
            return journal.wait(GLYPH_END) and self._added(journal, is_urgent=True)

    def erase(self, journal: PenJournal, stroke: int) -> bool:
        """Take a stroke back, otherwise as `end_glyph`. A digit that loses a stroke still gets an answer.

        Raises:
            ClientClosed: the outbox was closed.
            Overloaded: there is no room for an erasure that only an error can follow.
        """
        with self._lock:
            self.require_open()
            if stroke not in journal.unanswered and stroke not in journal.erasures:
                self.room.require(ACT_BYTES)
            before = journal.held
            is_told = journal.erase(stroke)
            self.room.ink += journal.held - before
            return is_told and self._added(journal, is_urgent=True)

    def clear(self, journal: PenJournal) -> bool:
        """Take all ink back, otherwise as `end_glyph`. It needs no answer, so what waits is dropped."""
        with self._changing(journal):
            self.require_open()
            journal.clear()
            return bool(journal.waiting) and self._added(journal, is_urgent=True)

    def end_stroke(self, journal: PenJournal) -> bool:
        """End the open stroke, if it is not over; otherwise as `end_glyph`."""
        with self._lock:
            if not journal.stroke:
                return False
            self.require_open()
            if (stroke := journal.unanswered.get(journal.stroke)) is not None:
                stroke.lifted = self._clock()
            journal.stroke = 0
            return journal.wait(STROKE_END) and self._added(journal, is_urgent=True)

    def close_pen(self, journal: PenJournal) -> bool:
        """End a pen; returns whether the caller must wake the taker. Nothing of the pen may follow."""
        with self._lock:
            journal.is_closed = True
            journal.stroke = 0
            if not self.is_closed and journal.wait(CLOSE):
                return self._added(journal, is_urgent=True)
            self._forget_if_done(journal)
        return False

    def take(self, *, at_once: bool = False) -> list[tuple[PenJournal, bool, list[Waiting]]]:
        """Take what is due, or with `at_once` all that waits.

        Returns: each pen, whether it has to be opened first, and its events.
        """
        taken: list[tuple[PenJournal, bool, list[Waiting]]] = []
        with self._lock:
            if not (self._wakeups.is_due or (at_once and self._wakeups.has_waiting)):
                return taken
            points, events = MOST_POINTS, MOST_EVENTS
            while self._ready and points > 0 and events > 0:
                journal = next(iter(self._ready))
                del self._ready[journal]
                waiting, journal.waiting, used = cut(journal.waiting, points)
                points -= used
                events -= len(waiting)
                self.room.points -= used
                before = journal.held
                for each in waiting:
                    journal.sent(each)
                if journal.waiting:
                    # What is left goes behind the others, so a pen that writes much delays nobody.
                    self._ready[journal] = None
                    journal.held = journal.weigh()  # A run may have been cut in two.
                self.room.ink += journal.held - before
                is_new = not journal.is_open and bool(waiting := whole_strokes(waiting))
                if is_new:
                    journal.open()
                taken.append((journal, is_new, waiting))
            if not self._ready:
                self._wakeups.emptied()  # Otherwise what did not fit is due all the same.
        return taken

    def answered(
        self, journal: PenJournal, answer: ink_pb2.GlyphResult, *, is_leaving: bool
    ) -> tuple[GlyphResult | None, Iterable[int]]:
        """Note an answer, see `PenJournal.answered`."""
        with self._lock:
            return journal.answered(answer, self._clock(), is_leaving=is_leaving)

    def refused(
        self, journal: PenJournal, refused: error_pb2.ItemError
    ) -> tuple[InkstreamError | None, Iterable[int]]:
        """Note an error, see `PenJournal.refused`."""
        with self._changing(journal):
            return journal.refused(refused)

    def settle(self, journal: PenJournal, strokes: Iterable[int] = ()) -> bool:
        """Drop strokes whose answer the reader has; returns whether the stream is done with the pen."""
        with self._lock:
            before = journal.held
            journal.settle(strokes)
            self.room.ink += journal.held - before
            return self._forget_if_done(journal)

    def is_pending(self, journals: Iterable[PenJournal]) -> bool:
        """Whether one of these pens has no final answer yet to something it wrote."""
        with self._lock:
            return any(journal.is_pending for journal in journals)

    def requeue_unanswered(
        self, journals: Iterable[PenJournal], error: InkstreamError | None, most_broken: int
    ) -> None:
        """Their stream is gone: what it got and did not answer goes to the next, before all else.

        Args:
            journals: pens that were open on the stream.
            error: how it broke; None if it did not.
            most_broken: streams that may break under one stroke; beyond, its pen fails with `error`.
        """
        for journal in journals:
            if error is not None:
                with self._lock:
                    is_lost = journal.count_break(most_broken)
                if is_lost:
                    self._lose(journal, error)
            with self._changing(journal):
                journal.requeue_unanswered()
                if journal.waiting:
                    self._wakeups.make_due()
                self._forget_if_done(journal)
            journal.reader.recheck()

    def seconds_left(self) -> float | None:
        """Seconds that the taker may sleep, None if nothing waits; see `Wakeups`."""
        with self._lock:
            return self._wakeups.seconds_left()

    def close(self) -> None:
        """Refuse what comes from now on."""
        with self._lock:
            self.is_closed = True

    def disown(self) -> None:
        """See `Inheritable`."""
        super().disown()
        self._lock = threading.Lock()

    def fail(self, error: InkstreamError) -> None:
        """Nothing that waits will be sent: every pen that waits for an answer gets the error."""
        with self._lock:
            ready = [*self._ready]
            journals = dict.fromkeys((*ready, *self._open.values()))
            self._ready.clear()
            self._wakeups.rest()
            self.room.points = 0
            for journal in ready:
                journal.waiting.clear()
        for journal in journals:
            self._lose(journal, error)

    def date(self) -> None:
        """A stream begins: add to what waited for it when it was written."""
        with self._lock:
            for journal in self._ready:
                if not journal.is_timed:
                    date(journal.waiting, journal.unanswered)

    def _lose(self, journal: PenJournal, error: InkstreamError) -> None:
        """Fail what left with a pen and is unanswered; keep strokes that wait whole."""
        with self._changing(journal):
            lost = journal.forget_sent()
        if lost:
            journal.reader.deliver(error)
        self.settle(journal, lost)
        journal.reader.recheck()

    @contextmanager
    def _changing(self, journal: PenJournal) -> Iterator[None]:
        """Hold the lock while a pen's waiting ink is rewritten, and count that again."""
        with self._lock:
            points, before = points_in(journal.waiting), journal.held
            yield
            self.room.points += points_in(journal.waiting) - points
            journal.held = journal.weigh()
            self.room.ink += journal.held - before
            if journal.waiting:
                self._ready[journal] = None
            else:
                self._ready.pop(journal, None)
                if not self._ready:
                    self._wakeups.emptied()

    def _forget_if_done(self, journal: PenJournal) -> bool:
        """Make room once a pen is closed and nothing of it is due; returns whether that is so."""
        is_done = journal.is_closed and not journal.waiting and not journal.is_pending
        if is_done and self._open.pop(journal.number, None) is not None:
            self.room.pens -= PEN_BYTES + self._openings.drop(journal.opening)
        return is_done

    def _hold(self, journal: PenJournal, size: int, points: int) -> None:
        """Count more ink."""
        journal.held += size
        self.room.ink += size
        self.room.points += points

    def _added(self, journal: PenJournal, *, is_urgent: bool) -> bool:
        """Note that a pen has something to send; returns whether the caller must wake the taker."""
        self._ready[journal] = None
        return self._wakeups.added(is_urgent=is_urgent)
