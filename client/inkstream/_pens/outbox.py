"""Ink that waits to be sent: what all pens of a client did since the last message left.

Any thread adds, one takes. Knows neither sockets nor event loops; of time only what its clock says.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from itertools import count

from inkstream._exceptions import ClientClosed, InkstreamError, Overloaded
from inkstream._pens.journal import PenJournal, Reader
from inkstream._pens.point_coder import Columns
from inkstream._pens.written import Run, SentStroke, Waiting, points_in
from inkstream.v1 import ink_pb2

MOST_POINTS = 8192
"""Points that one message carries at most; a few tens of kilobytes."""
MOST_EVENTS = 2048
"""Other events that it carries at most, more or less: a pen's turn is not cut for less than points."""


class InkOutbox:
    """What pens did and no message carries yet."""

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
        self._packet = packet_seconds
        self._most_points = most_points
        self._clock = clock
        self._numbers = count(1)
        self.lock = threading.Lock()
        self._lines: dict[int, PenJournal] = {}
        self._ready: dict[PenJournal, None] = {}
        self._points = 0
        self._due: float | None = None
        self._wakes_for_any = True
        """Whether the taker sleeps until it is woken."""
        self._wakes_for_urgent = True
        """Whether the taker sleeps, at most until the ink is due."""
        self.is_closed = False

    def __len__(self) -> int:
        """Pens that have something to send."""
        return len(self._ready)

    def line(self, opening: ink_pb2.PenOpen, reader: Reader) -> PenJournal:
        """Give a new pen its number.

        Raises:
            ClientClosed: the outbox was closed.
        """
        with self.lock:
            self.require_open()
            line = PenJournal(next(self._numbers), opening, reader)
            self._lines[line.number] = line
        return line

    def begin(self, line: PenJournal, stroke: int, time_ms: int, first: Columns) -> bool:
        """A stroke begins with its first points; returns whether the taker has to be woken.

        Raises:
            ClientClosed: the outbox was closed.
            Overloaded: too much waits already.
        """
        event = ink_pb2.InkEvent(pen=line.number)
        event.stroke_begin.stroke = stroke
        event.stroke_begin.time_ms = time_ms
        with self.lock:
            self._require_room(len(first[0]))
            line.unanswered[stroke] = SentStroke(self._clock())
            line.stroke = stroke
            line.is_timed = line.is_timed or bool(time_ms or first[2])
            line.waiting += (event, Run(first))
            self._points += len(first[0])
            return self._added(line, is_urgent=False)

    def add(self, line: PenJournal, columns: Columns) -> bool:
        """Append points to the open stroke; drops them if that is over. Otherwise as `begin`."""
        with self.lock:
            if not line.stroke:
                return False
            self._require_room(len(columns[0]))
            waiting = line.waiting
            if waiting and isinstance(last := waiting[-1], Run):
                last.extend(columns)
            else:
                waiting.append(Run(columns))
            self._points += len(columns[0])
            return self._added(line, is_urgent=False)

    def put(self, line: PenJournal, event: ink_pb2.InkEvent) -> bool:
        """Append anything else, which leaves at once; returns whether the taker has to be woken.

        Never refused for want of room, so that what was begun can be ended. What is cleared needs no answer
        any more; the digit of what is erased gets one.

        Args:
            line: the pen.
            event: what it did.

        Raises:
            ClientClosed: the outbox was closed.
        """
        with self.lock:
            self.require_open()
            if event.HasField("stroke_remove"):
                line.erase([event.stroke_remove.stroke])
            elif event.HasField("clear"):
                line.clear()
            line.waiting.append(event)
            return self._added(line, is_urgent=True)

    def end_stroke(self, line: PenJournal, event: ink_pb2.InkEvent) -> bool:
        """End the open stroke, if it is not over; otherwise as `put`."""
        with self.lock:
            if not line.stroke:
                return False
            self.require_open()
            if (written := line.unanswered.get(line.stroke)) is not None:
                written.lifted = self._clock()
            line.stroke = 0
            line.waiting.append(event)
            return self._added(line, is_urgent=True)

    def finish(self, line: PenJournal, event: ink_pb2.InkEvent) -> bool:
        """End a pen; returns whether the taker has to be woken. Nothing of it may follow."""
        with self.lock:
            line.is_closed = True
            line.stroke = 0
            self._lines.pop(line.number, None)
            if self.is_closed:
                return False
            line.waiting.append(event)
            return self._added(line, is_urgent=True)

    def take(self, *, at_once: bool = False) -> list[tuple[PenJournal, list[Waiting]]]:
        """Take what is due, pen by pen; nothing where none is.

        Args:
            at_once: take it even if it is not due.
        """
        taken: list[tuple[PenJournal, list[Waiting]]] = []
        with self.lock:
            if self._due is None or not (at_once or self._due <= self._clock()):
                return taken
            points, events = MOST_POINTS, MOST_EVENTS
            while self._ready and points > 0 and events > 0:
                line = next(iter(self._ready))
                del self._ready[line]
                waiting, line.waiting = line.waiting, []
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
                    line.sent(each)
                    place += 1
                if place < len(waiting):
                    # What is left goes behind the others: one that brings much holds nobody up.
                    line.waiting = waiting[place:]
                    del waiting[place:]
                    self._ready[line] = None
                events -= place
                taken.append((line, waiting))
            # What did not fit is due all the same.
            self._due = self._due if self._ready else None
        return taken

    def seconds_left(self) -> float | None:
        """Seconds until something is due, None where nothing waits.

        The taker may sleep so long: who adds something that is due earlier is told to wake it.
        """
        with self.lock:
            self._wakes_for_urgent = True
            self._wakes_for_any = self._due is None
            return None if self._due is None else max(0.0, self._due - self._clock())

    def require_open(self) -> None:
        """Do nothing, as long as the outbox is open.

        Raises:
            ClientClosed: it was closed.
        """
        if self.is_closed:
            raise ClientClosed("the client is closed: make a new one")

    def close(self) -> None:
        """Refuse what comes from now on."""
        with self.lock:
            self.is_closed = True

    def fail(self, error: InkstreamError) -> None:
        """Nothing that waits will be sent, and nobody waits in vain."""
        with self.lock:
            ready = list(self._ready)
            lines = [*self._lines.values()]
            self._ready.clear()
            self._points = 0
            self._due = None
            self._wakes_for_any = self._wakes_for_urgent = True
            for line in ready:
                line.waiting.clear()
        for line in {**dict.fromkeys(ready), **dict.fromkeys(lines)}:
            self.lose(line, error)

    def lose(self, line: PenJournal, error: InkstreamError) -> None:
        """A pen is no longer open: what went with it is failed, strokes that wait whole are kept."""
        with self.lock:
            before = points_in(line.waiting)
            lost = line.forget_sent()
            self._points -= before - points_in(line.waiting)
            if not line.waiting:
                self._ready.pop(line, None)
        if lost:
            line.reader.fail(error)
        else:
            line.reader.recheck()

    def requeue_unanswered(self, lines: Iterable[PenJournal]) -> None:
        """Their stream is gone: what it was told and did not answer goes to the next, before all else."""
        lines = [*lines]
        with self.lock:
            for line in lines:
                before = points_in(line.waiting)
                line.requeue_unanswered()
                self._points += points_in(line.waiting) - before
                if line.waiting:
                    self._ready[line] = None
                else:
                    self._ready.pop(line, None)
            if self._ready:
                self._due = 0.0
        for line in lines:
            if not line.is_owed:
                line.reader.recheck()

    def date(self) -> None:
        """A stream begins: what waited for it tells when it was written."""
        with self.lock:
            for line in self._ready:
                line.date()

    @property
    def clock(self) -> Callable[[], float]:
        """The clock by which strokes are dated."""
        return self._clock

    def _require_room(self, points: int) -> None:
        self.require_open()
        if self._points + points > self._most_points:
            raise Overloaded(
                f"{self._points} points wait to be sent, of {self._most_points} that may: the "
                "server does not keep up; write more slowly, or raise ink_buffer"
            )

    def _added(self, line: PenJournal, *, is_urgent: bool) -> bool:
        """Note that a pen has something to send; returns whether the taker has to be woken."""
        self._ready[line] = None
        if is_urgent:
            self._due = 0.0
        elif self._due is None:
            self._due = self._clock() + self._packet
        wakes = self._wakes_for_urgent if is_urgent else self._wakes_for_any
        if wakes:
            self._wakes_for_any = self._wakes_for_urgent = False
        return wakes
