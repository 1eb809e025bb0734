"""Ink that waits to be sent: what all pens of a client did since the last message left.

Any thread adds, one takes. Knows neither sockets nor event loops; time comes from its clock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager
from itertools import count

from inkstream._exceptions import InkstreamError, Overloaded
from inkstream._fork import Inheritable
from inkstream._pens.journal import PenJournal, Reader
from inkstream._pens.point_coder import Columns
from inkstream._pens.written import Run, SentStroke, Waiting, points_in, whole_strokes
from inkstream._results.glyphs import GlyphResult
from inkstream.ink import InvalidInk
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

    **Two wake-ups.** To wake the taker from another thread costs a system call, so a thread that adds wakes
    it only if it would sleep too long, and once a sleep. `_due` is when the taker must take: never after all
    was taken, `packet_seconds` after the first point, at once after something urgent. The taker calls `take`
    until that gives nothing, then `seconds_left`, then sleeps at most that long. These hold under the lock:

    1. While something waits, `_due` is a number, and it never rises before all that waits is taken.
    2. Only `seconds_left` and `fail` set a flag, only a method that returns True clears them. So a cleared
       flag means that a wake-up is under way, or that the taker sleeps no longer than until `_due`: either
       way it takes what is added now in time.
    3. `_wakes_for_any` is set while the taker sleeps without a limit: whatever is added first wakes it.
    4. `_wakes_for_urgent` is set while it sleeps, with or without a limit. A point that is added to others
       wakes nobody, since the limit is their `_due`; what is urgent must leave before it, and wakes.
    5. A wake-up clears both flags: whatever is added until the taker sleeps again needs no second one.
    6. The taker's own thread makes ink due without a wake-up (`requeue_unanswered`): it looks at
       `seconds_left` before it sleeps.

    A flag that is set although the taker is awake costs one needless wake-up and loses nothing.
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
        self._packet = packet_seconds
        self._most_points = most_points
        self._clock = clock
        self._numbers = count(1)
        self._lock = threading.Lock()
        self._open: dict[int, PenJournal] = {}
        self._ready: dict[PenJournal, None] = {}
        self._points = 0
        self._due: float | None = None
        self._wakes_for_any = True
        """Whether the taker sleeps until it is woken."""
        self._wakes_for_urgent = True
        """Whether the taker sleeps, at most until the ink is due."""

    def __len__(self) -> int:
        """Pens that have something to send."""
        return len(self._ready)

    def new_pen(self, opening: ink_pb2.PenOpen, reader: Reader) -> PenJournal:
        """Give a new pen its number.

        Raises:
            ClientClosed: the outbox was closed.
        """
        with self._lock:
            self.require_open()
            journal = PenJournal(next(self._numbers), opening, reader)
            self._open[journal.number] = journal
        return journal

    def begin(self, journal: PenJournal, stroke: int, time_ms: int, first: Columns) -> bool:
        """A stroke begins with its first points; returns whether the caller must wake the taker.

        Raises:
            ClientClosed: the outbox was closed.
            InvalidInk: these are more points than may wait at all.
            Overloaded: too many points wait already.
        """
        begin = {"stroke": stroke, "time_ms": time_ms}
        event = ink_pb2.InkEvent(pen=journal.number, stroke_begin=begin)
        with self._lock:
            self._require_room(len(first[0]))
            journal.unanswered[stroke] = SentStroke(self._clock())
            journal.stroke = stroke
            journal.is_timed = journal.is_timed or bool(time_ms or first[2])
            journal.waiting += (event, Run(first))
            self._points += len(first[0])
            return self._added(journal, is_urgent=False)

    def add(self, journal: PenJournal, columns: Columns) -> bool:
        """Append points to the open stroke; drops them if that is over. Otherwise as `begin`."""
        with self._lock:
            if not journal.stroke:
                return False
            self._require_room(len(columns[0]))
            waiting = journal.waiting
            if waiting and isinstance(last := waiting[-1], Run):
                last.extend(columns)
            else:
                waiting.append(Run(columns))
            self._points += len(columns[0])
            return self._added(journal, is_urgent=False)

    def put(self, journal: PenJournal, event: ink_pb2.InkEvent) -> bool:
        """Append anything else, which leaves at once; returns whether the caller must wake the taker.

        Never refused for want of room, so that a stroke or digit can always be ended. Cleared ink needs no
        answer any more; a digit that loses a stroke still gets one.

        Args:
            journal: the pen.
            event: what it did.

        Raises:
            ClientClosed: the outbox was closed.
        """
        with self._lock:
            self.require_open()
            if event.HasField("stroke_remove"):
                journal.erase([event.stroke_remove.stroke])
            elif event.HasField("clear"):
                journal.clear()
            journal.waiting.append(event)
            return self._added(journal, is_urgent=True)

    def end_stroke(self, journal: PenJournal) -> bool:
        """End the open stroke, if it is not over; otherwise as `put`."""
        with self._lock:
            if not journal.stroke:
                return False
            self.require_open()
            if (stroke := journal.unanswered.get(journal.stroke)) is not None:
                stroke.lifted = self._clock()
            journal.stroke = 0
            journal.waiting.append(ink_pb2.InkEvent(pen=journal.number, stroke_end={}))
            return self._added(journal, is_urgent=True)

    def close_pen(self, journal: PenJournal) -> bool:
        """End a pen; returns whether the caller must wake the taker. Nothing of the pen may follow."""
        with self._lock:
            journal.is_closed = True
            journal.stroke = 0
            self._open.pop(journal.number, None)
            if self.is_closed:
                return False
            journal.waiting.append(ink_pb2.InkEvent(pen=journal.number, close={}))
            return self._added(journal, is_urgent=True)

    def take(
        self, opened: Container[int], *, at_once: bool = False
    ) -> list[tuple[PenJournal, list[Waiting]]]:
        """Take what is due, pen by pen; nothing if none is.

        Args:
            opened: pens that are open on the stream; others are opened first.
            at_once: take it even if it is not due.
        """
        taken: list[tuple[PenJournal, list[Waiting]]] = []
        with self._lock:
            if self._due is None or not (at_once or self._due <= self._clock()):
                return taken
            points, events = MOST_POINTS, MOST_EVENTS
            while self._ready and points > 0 and events > 0:
                journal = next(iter(self._ready))
                del self._ready[journal]
                waiting, journal.waiting = journal.waiting, []
                place = 0
                while place < len(waiting) and points > 0:
                    each = waiting[place]
                    if isinstance(each, Run):
                        if len(each.dx) > points:
                            waiting.insert(place, each.split(points))
                            each = waiting[place]
                            assert isinstance(each, Run)
                        points -= len(each.dx)
                        self._points -= len(each.dx)
                    journal.sent(each)
                    place += 1
                if place < len(waiting):
                    # What is left goes behind the others, so a pen that writes much delays nobody.
                    journal.waiting = waiting[place:]
                    del waiting[place:]
                    self._ready[journal] = None
                events -= place
                if journal.number not in opened and (waiting := whole_strokes(waiting)):
                    waiting.insert(0, journal.open())
                taken.append((journal, waiting))
            # What did not fit is due all the same.
            self._due = self._due if self._ready else None
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
            journal.settle(strokes)
            return journal.is_closed and not journal.is_pending and not journal.waiting

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
                    self._due = 0.0
            journal.reader.recheck()

    def seconds_left(self) -> float | None:
        """Seconds until something is due, None if nothing waits.

        The taker may sleep that long: a caller that adds something due earlier wakes it.
        """
        with self._lock:
            self._wakes_for_urgent = True
            self._wakes_for_any = self._due is None
            return None if self._due is None else max(0.0, self._due - self._clock())

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
            ready = list(self._ready)
            journals = {**dict.fromkeys(ready), **dict.fromkeys(self._open.values())}
            self._ready.clear()
            self._points = 0
            self._due = None
            self._wakes_for_any = self._wakes_for_urgent = True
            for journal in ready:
                journal.waiting.clear()
        for journal in journals:
            self._lose(journal, error)

    def date(self) -> None:
        """A stream begins: add to what waited for it when it was written."""
        with self._lock:
            for journal in self._ready:
                journal.date()

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
            before = points_in(journal.waiting)
            yield
            self._points += points_in(journal.waiting) - before
            if journal.waiting:
                self._ready[journal] = None
            else:
                self._ready.pop(journal, None)

    def _require_room(self, points: int) -> None:
        self.require_open()
        if points > self._most_points:
            raise InvalidInk(
                f"points: expected at most {self._most_points} at once (ink_buffer), got {points}; "
                "write the stroke in pieces with down, points and up, or raise ink_buffer"
            )
        if self._points + points > self._most_points:
            raise Overloaded(
                f"{self._points} points wait to be sent, and with {points} more they would exceed "
                f"ink_buffer ({self._most_points}): the server does not keep up; write more slowly, or "
                "raise ink_buffer"
            )

    def _added(self, journal: PenJournal, *, is_urgent: bool) -> bool:
        """Note that a pen has something to send; returns whether the caller must wake the taker."""
        self._ready[journal] = None
        if is_urgent:
            self._due = 0.0
        elif self._due is None:
            self._due = self._clock() + self._packet
        wakes = self._wakes_for_urgent if is_urgent else self._wakes_for_any
        if wakes:
            self._wakes_for_any = self._wakes_for_urgent = False
        return wakes
