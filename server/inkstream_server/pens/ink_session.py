"""All pens of one stream: takes their events, keeps their quiet times, and asks for their answers.

Knows the event loop's time and the easel; what leaves the stream, and when, is `session`'s affair.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from heapq import heappop, heappush

from inkstream.v1 import error_pb2, ink_pb2
from inkstream.v1.recognition_service_pb2 import StreamRecognizeResponse

from inkstream_server.answers import OUTCOME_OF_CODE
from inkstream_server.batching import Batcher
from inkstream_server.due import Due
from inkstream_server.metrics import Metrics
from inkstream_server.pens.clock import Clock, Timer
from inkstream_server.pens.easel import Drawing, Easel
from inkstream_server.pens.faults import InkFault, NoRoom
from inkstream_server.pens.glyph_answer import GlyphDue
from inkstream_server.pens.limits import PenLimits
from inkstream_server.pens.pen import Pen, Wanted
from inkstream_server.pens.settings import PenSettings, QuietTimes, read_settings
from inkstream_server.pens.stability import stability
from inkstream_server.pens.strokes import Glyph

EVENTS_PER_TURN = 256
"""Events of one message after which other streams get their turn: about a millisecond."""

SURE = 0.95
"""Stability from which on a provisional answer may shorten the quiet time: half of a 4 or 5 looks like a 6
or a 2, too, and waiting costs less than a digit in two."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What all streams' pens share."""

    easel: Easel
    metrics: Metrics
    limits: PenLimits
    quiet: QuietTimes
    """Quiet times of pens that choose none."""

    @staticmethod
    def over(
        batcher: Batcher,
        metrics: Metrics,
        limits: PenLimits | None = None,
        quiet: QuietTimes | None = None,
    ) -> "Ground":
        """Make one with an easel of its own; None for the defaults."""
        easel = Easel(batcher, metrics.ink)
        return Ground(easel, metrics, limits or PenLimits(), quiet or QuietTimes())


@dataclass(slots=True, eq=False)
class _Writer:
    """A pen with what the stream knows of it."""

    number: int
    pen: Pen
    settings: PenSettings
    alarm: float = float("inf")
    """When the stream looks at it next; infinity for never."""
    drawn: tuple[Glyph, int, Drawing] | None = None
    """The last drawing, with its glyph and edition."""
    interim: GlyphDue | None = None
    """Its last interim answer."""


class FaultsDue:
    """Errors that wait for their turn to leave. Satisfies `due.Due`."""

    def __init__(self, errors: list[error_pb2.ItemError], metrics: Metrics) -> None:
        """Owe these errors."""
        self.items = len(errors)
        self._errors = errors
        self._metrics = metrics

    def is_complete(self) -> bool:
        """See `Due`."""
        return True

    async def ready(self) -> None:
        """See `Due`."""

    def append(self, response: StreamRecognizeResponse) -> None:
        """See `Due`."""
        response.errors.extend(self._errors)
        for error in self._errors:
            self._metrics.ended("ink", OUTCOME_OF_CODE[error.code], 1)

    def withdraw(self) -> None:
        """See `Due`."""
        self._metrics.ended("ink", "cancelled", self.items)


class InkSession:
    """The pens of one stream."""

    def __init__(self, ground: Ground, put: Callable[[Due], None], clock: Clock | None) -> None:
        """Start without pens.

        Args:
            ground: what all streams share.
            put: owes an answer; called in the order in which answers are to leave.
            clock: tells quiet times; None for the running event loop's.
        """
        self._ground = ground
        self._put = put
        self._clock: Clock = clock or asyncio.get_running_loop()
        self._writers: dict[int, _Writer] = {}
        self._points = 0
        # Pens by the time at which they are looked at; entries that a pen's alarm has left are stale.
        self._alarms: list[tuple[float, int]] = []
        self._timer: Timer | None = None
        self._timer_at = float("inf")
        self._open_glyphs = 0

    async def take(self, message: ink_pb2.InkEvents, room: Callable[[], Awaitable[None]]) -> None:
        """Take what pens did. Gives others their turn after every EVENTS_PER_TURN events.

        Args:
            message: the events.
            room: waits until the stream may owe more.
        """
        strangers: set[int] = set()
        for index, event in enumerate(message.events):
            if index and not index % EVENTS_PER_TURN:
                await asyncio.sleep(0)
                await room()
            try:
                self._apply(event, strangers)
            except InkFault as fault:
                self._put(FaultsDue([fault.to_error(event.pen)], self._ground.metrics))

    def end(self) -> None:
        """The stream will bring no more: ask for the final answer of every open glyph."""
        for writer in self._writers.values():
            self._drive(writer, lambda pen, now: pen.end_glyph(now))
        self._ground.metrics.ink.open_pens.dec(len(self._writers))
        self._writers.clear()
        self._alarms.clear()
        self._arm()

    def withdraw(self) -> None:
        """The stream is gone: drop all ink."""
        ink = self._ground.metrics.ink
        ink.open_pens.dec(len(self._writers))
        ink.open_glyphs.dec(self._open_glyphs)
        self._ground.metrics.ended("ink", "cancelled", self._open_glyphs)
        self._open_glyphs = 0
        self._writers.clear()
        self._alarms.clear()
        self._arm()

    def _apply(self, event: ink_pb2.InkEvent, strangers: set[int]) -> None:
        kind = event.WhichOneof("event")
        writer = self._writers.get(event.pen)
        if kind == "open":
            self._open(event.pen, event.open, writer)
        elif writer is None:
            if event.pen not in strangers:
                # Told once a message, not once an event.
                strangers.add(event.pen)
                raise InkFault("pen", f"pen {event.pen} is not open: open it first")
        elif kind == "points":
            points = event.points
            room = self._ground.limits.points_per_stream - self._points
            self._ground.metrics.ink.points.inc(len(points.dx))
            self._drive(
                writer,
                lambda pen, now: pen.move(
                    points.dx, points.dy, points.dt_ms, points.pressure, now, room
                ),
            )
        elif kind == "stroke_begin":
            begin = event.stroke_begin
            self._drive(writer, lambda pen, now: pen.begin(begin.stroke, begin.time_ms, now))
        elif kind == "stroke_end":
            self._drive(writer, lambda pen, now: pen.lift(now))
        elif kind == "stroke_remove":
            stroke = event.stroke_remove.stroke
            self._drive(writer, lambda pen, now: pen.erase(stroke, now))
        elif kind == "glyph_end":
            self._drive(writer, lambda pen, now: pen.end_glyph(now))
        elif kind == "clear":
            self._drive(writer, lambda pen, _: pen.clear())
        elif kind == "close":
            self._drive(writer, lambda pen, now: pen.end_glyph(now))
            del self._writers[event.pen]
            self._ground.metrics.ink.open_pens.dec()
        else:
            raise InkFault("event", "expected something that the pen did, got nothing")

    def _open(self, number: int, open_: ink_pb2.PenOpen, writer: _Writer | None) -> None:
        if writer is not None:
            raise InkFault("open", f"pen {number} is open already: close it first")
        limits = self._ground.limits
        if len(self._writers) >= limits.pens:
            raise NoRoom("open", f"a stream may have {limits.pens} pens open: close one first")
        settings = read_settings(open_, self._ground.quiet, limits)
        self._writers[number] = _Writer(number, Pen(settings, limits), settings)
        self._ground.metrics.ink.open_pens.inc()

    def _drive(self, writer: _Writer, act: Callable[[Pen, float], None]) -> None:
        """Let a pen act, and see to what it wants then.

        Raises:
            InkFault: as the pen does, after that.
        """
        pen, now = writer.pen, self._clock.time()
        points, was_open = pen.points, pen.glyph is not None
        try:
            act(pen, now)
        finally:
            wanted, pen.wanted = pen.wanted, []
            for one in wanted:
                self._want(writer, one, now)
            self._points += pen.points - points
            opened = (pen.glyph is not None) - was_open
            if opened:
                self._open_glyphs += opened
                self._ground.metrics.ink.open_glyphs.inc(opened)
            self._set_alarm(writer)

    def _want(self, writer: _Writer, wanted: Wanted, now: float) -> None:
        metrics = self._ground.metrics
        if wanted.state == "dropped":
            metrics.ended("ink", "cancelled", 1)
            return
        drawing = self._drawing(writer, wanted)
        quiet = now - wanted.inked if wanted.state == "final" else 0.0
        waiting = writer.interim
        if waiting is not None and waiting.is_waiting_interim:
            waiting.renew(wanted, drawing, quiet)
            metrics.ink.interims_replaced.inc()
            return
        answers = writer.settings.answers
        due = GlyphDue(writer.number, wanted, drawing, answers, metrics, quiet)
        writer.interim = due if wanted.state == "interim" else None
        self._put(due)

    def _drawing(self, writer: _Writer, wanted: Wanted) -> Drawing:
        """Give the drawing of that edition: the one there is, unless it failed."""
        if writer.drawn is not None:
            glyph, edition, drawing = writer.drawn
            if glyph is wanted.glyph and edition == wanted.edition and not drawing.failure:
                return drawing
            if writer.interim is not None and writer.interim.is_waiting_interim:
                drawing.withdraw()
        settings = writer.settings
        drawing = Drawing(wanted.ink, y_up=settings.y_up, tap=settings.tap)
        writer.drawn = (wanted.glyph, wanted.edition, drawing)
        if wanted.state == "provisional":
            drawing.on_settled(lambda: self._recognized(writer, wanted, drawing))
        self._ground.easel.add(writer, drawing)
        return drawing

    def _recognized(self, writer: _Writer, wanted: Wanted, drawing: Drawing) -> None:
        share = drawing.share
        if share is None or self._writers.get(writer.number) is not writer:
            return
        batch, row = share.batch, share.start
        digit = batch.digits[row]
        is_rejected = batch.reasons is not None and batch.reasons[row]
        lasts = stability("provisional", digit, batch.confidences[row]) >= SURE
        if lasts and not is_rejected:
            writer.pen.recognized(wanted.glyph, wanted.edition, digit)
            self._set_alarm(writer)

    def _set_alarm(self, writer: _Writer) -> None:
        due = writer.pen.due()
        # An alarm that comes too early is set anew when it does: a pen that writes moves its due time
        # with every packet, its entry in the heap only now and then.
        if due is not None and due < writer.alarm:
            writer.alarm = due
            heappush(self._alarms, (due, writer.number))
            self._arm()

    def _arm(self) -> None:
        at = self._alarms[0][0] if self._alarms else float("inf")
        if at == self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._clock.call_at(at, self._ring) if self._alarms else None

    def _ring(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        now = self._clock.time()
        while self._alarms and self._alarms[0][0] <= now:
            at, number = heappop(self._alarms)
            writer = self._writers.get(number)
            if writer is None or writer.alarm != at:
                continue
            writer.alarm = float("inf")
            try:
                self._drive(writer, lambda pen, now: pen.tick(now))
            except InkFault as fault:
                self._put(FaultsDue([fault.to_error(number)], self._ground.metrics))
        self._arm()
