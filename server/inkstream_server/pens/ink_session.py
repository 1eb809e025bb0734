"""All pens of one stream: takes their events, keeps their quiet times, and asks for their answers.

Knows the event loop's time and the renderer; what leaves the stream, and when, is `session`'s affair.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from inkstream.v1 import error_pb2, ink_pb2

from inkstream_server.access.allowance import Allowance
from inkstream_server.batching.batcher import Batcher, StreamFlow
from inkstream_server.batching.fair_queue import Flow, Priority
from inkstream_server.clock import Clock, Timer
from inkstream_server.metrics.items import OUTCOME_OF_CODE, Metrics
from inkstream_server.pens.faults import InkFault, NoAllowance, NoRoom
from inkstream_server.pens.glyph_reply import GlyphReply, read
from inkstream_server.pens.limits import PenLimits
from inkstream_server.pens.pen import Pen, Wanted
from inkstream_server.pens.renderer import GlyphRenderer, RenderJob
from inkstream_server.pens.settings import PenSettings, QuietTimes, read_settings
from inkstream_server.pens.stability import stability
from inkstream_server.pens.strokes import Glyph
from inkstream_server.wire.response import Reply, Response

EVENTS_PER_TURN = 256
"""Events of one message after which other streams get their turn: about a millisecond."""

SLACK = 64
"""Stale alarms that are not worth sweeping out."""

SURE = 0.95
"""Stability from which on a provisional answer may shorten the quiet time: half of a 4 or 5 looks like a 6
or a 2, too, and waiting costs less than a digit in two."""


@dataclass(frozen=True, slots=True)
class InkResources:
    """What all streams' pens share."""

    renderer: GlyphRenderer
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
    ) -> "InkResources":
        """Make one with an renderer of its own; None for the defaults."""
        renderer = GlyphRenderer(batcher, metrics.ink)
        return InkResources(renderer, metrics, limits or PenLimits(), quiet or QuietTimes())


@dataclass(slots=True, eq=False)
class _Writer:
    """A pen with what the stream knows of it."""

    number: int
    pen: Pen
    settings: PenSettings
    alarm: float = float("inf")
    """When the stream looks at it next; infinity for never."""
    drawn: tuple[Glyph, int, RenderJob] | None = None
    """The last drawing of the open glyph, with its glyph and edition."""
    interim: GlyphReply | None = None
    """Its last interim answer, unless another answer was asked for since."""
    points: int = 0
    """Points that it held when the stream last looked."""
    has_glyph: bool = False
    """Whether it had an open glyph then."""
    glyphs_begun: int = 0
    """Glyphs that it had begun by then."""


class FaultReply:
    """Errors that wait for their turn to leave. Satisfies `due.Reply`."""

    def __init__(self, errors: list[error_pb2.ItemError], metrics: Metrics) -> None:
        """Owe these errors."""
        self.items = len(errors)
        self._errors = errors
        self._metrics = metrics

    def is_complete(self) -> bool:
        """See `Reply`."""
        return True

    async def ready(self) -> None:
        """See `Reply`."""

    def append(self, response: Response) -> None:
        """See `Reply`."""
        response.errors.extend(self._errors)
        for error in self._errors:
            self._metrics.ended("ink", OUTCOME_OF_CODE[error.code], 1)

    def withdraw(self) -> None:
        """See `Reply`."""
        self._metrics.ended("ink", "cancelled", self.items)


class InkSession:
    """The pens of one stream."""

    def __init__(
        self,
        resources: InkResources,
        put: Callable[[Reply], None],
        clock: Clock | None,
        flow: StreamFlow | None = None,
        allowance: Allowance | None = None,
    ) -> None:
        """Start without pens.

        Args:
            resources: what all streams share.
            put: owes an answer; called in the order in which answers are to leave.
            clock: tells quiet times; None for the running event loop's.
            flow: what the stream has in the batcher's queue; None for one of the pens' own.
            allowance: how many strokes the caller may send; None for any number.
        """
        self._flow: StreamFlow = flow or Flow()
        self._resources = resources
        self._put = put
        self._allowance = allowance
        self._clock: Clock = clock or asyncio.get_running_loop()
        self._writers: dict[int, _Writer] = {}
        self._points = 0
        # Pens by the time at which they are looked at; entries that a pen's alarm has left are stale,
        # and swept out when they are the most.
        self._alarms: list[tuple[float, int]] = []
        self._timer: Timer | None = None
        self._timer_at = float("inf")

    async def take(self, message: ink_pb2.InkEvents, room: Callable[[], Awaitable[None]]) -> None:
        """Take what pens did. Gives others their turn after every EVENTS_PER_TURN events.

        Args:
            message: the events.
            room: waits until the stream may owe more.
        """
        now = self._clock.time()
        strangers: set[int] = set()
        for index, event in enumerate(message.events):
            if index and not index % EVENTS_PER_TURN:
                await asyncio.sleep(0)
                await room()
                now = self._clock.time()
            writer = self._writers.get(event.pen)
            if writer is not None:
                self._act(writer, event, now)
            elif event.WhichOneof("event") == "open":
                self._open(event)
            elif event.pen not in strangers:
                # Told once a message, not once an event.
                strangers.add(event.pen)
                fault = InkFault("pen", f"pen {event.pen} is not open: open it first")
                self._refuse(event.pen, fault)

    def end(self) -> None:
        """The stream will bring no more: ask for the final answer of every open glyph."""
        now = self._clock.time()
        for writer in [*self._writers.values()]:
            self._close(writer, now)
        self._alarms.clear()
        self._arm()

    def _open(self, event: ink_pb2.InkEvent) -> None:
        limits = self._resources.limits
        try:
            if len(self._writers) >= limits.pens:
                raise NoRoom(
                    "open",
                    f"a stream may have {limits.pens} pens open, got {limits.pens + 1}: close one first",
                )
            settings = read_settings(event.open, self._resources.quiet, limits)
        except InkFault as fault:
            self._refuse(event.pen, fault)
            return
        self._writers[event.pen] = _Writer(event.pen, Pen(settings, limits), settings)
        self._resources.metrics.ink.open_pens.inc()

    def _act(self, writer: _Writer, event: ink_pb2.InkEvent, now: float) -> None:
        """Let a pen do what it did, and see to what it wants then."""
        pen = writer.pen
        kind = event.WhichOneof("event")
        try:
            if kind == "points":
                points = event.points
                dx = points.dx[:]
                self._resources.metrics.ink.points.inc(len(dx))
                room = self._resources.limits.points_per_stream - self._points
                columns = (dx, points.dy[:], points.dt_ms[:], points.pressure[:])
                pen.move(*columns, now, room)
            elif kind == "stroke_begin":
                pen.begin(event.stroke_begin.stroke, event.stroke_begin.time_ms, now)
                if self._allowance is not None and not self._allowance.take(1):
                    pen.erase(event.stroke_begin.stroke, now)
                    raise NoAllowance("stroke_begin", self._allowance, event.stroke_begin.stroke)
            elif kind == "stroke_end":
                pen.lift(now)
            elif kind == "stroke_remove":
                pen.erase(event.stroke_remove.stroke, now)
            elif kind == "glyph_end":
                pen.end_glyph(now)
            elif kind == "clear":
                pen.clear()
            elif kind == "close":
                self._close(writer, now)
            elif kind == "open":
                raise InkFault("open", f"pen {event.pen} is open already: close it first")
            else:
                raise InkFault("event", "expected something that the pen did, got nothing")
        except InkFault as fault:
            self._settle(writer, now)
            self._refuse(writer.number, fault)
        else:
            self._settle(writer, now)

    def _close(self, writer: _Writer, now: float) -> None:
        writer.pen.end_glyph(now)
        self._settle(writer, now)
        del self._writers[writer.number]
        self._resources.metrics.ink.open_pens.dec()

    def _refuse(self, pen: int, fault: InkFault) -> None:
        self._resources.metrics.accepted("ink", 1)
        self._put(FaultReply([fault.to_error(pen)], self._resources.metrics))

    def _settle(self, writer: _Writer, now: float) -> None:
        """See to what a pen wants and holds, and to when it is looked at next."""
        pen = writer.pen
        self._points += pen.points - writer.points
        writer.points = pen.points
        if pen.wanted:
            wanted, pen.wanted = pen.wanted, []
            for one in wanted:
                self._want(writer, one, now)
        if begun := pen.glyphs_begun - writer.glyphs_begun:
            writer.glyphs_begun += begun
            self._resources.metrics.accepted("ink", begun)
        has_glyph = pen.glyph is not None
        if has_glyph != writer.has_glyph:
            writer.has_glyph = has_glyph
            self._resources.metrics.ink.open_glyphs.inc(1 if has_glyph else -1)
        self._set_alarm(writer)

    def _want(self, writer: _Writer, wanted: Wanted, now: float) -> None:
        metrics = self._resources.metrics
        interim, writer.interim = writer.interim, None
        if interim is not None and interim.replace():
            metrics.ink.interims_replaced.inc()
        if wanted.state == "dropped":
            writer.drawn = None
            metrics.glyph_unanswered("cleared")
            return
        drawing = self._drawing(writer, wanted)
        if wanted.state == "final":
            writer.drawn = None  # A pen at rest must not hold a whole batch.
        quiet = now - wanted.inked if wanted.state == "final" else 0.0
        answers = writer.settings.answers
        due = GlyphReply(writer.number, wanted, drawing, answers, metrics, quiet)
        if wanted.state == "interim":
            writer.interim = due
        self._put(due)

    def _drawing(self, writer: _Writer, wanted: Wanted) -> RenderJob:
        """Give the drawing of that edition: the one there is, unless it failed."""
        if writer.drawn is not None:
            glyph, edition, drawing = writer.drawn
            if glyph is wanted.glyph and edition == wanted.edition and not drawing.failure:
                return drawing
        settings = writer.settings
        drawing = RenderJob(
            wanted.ink,
            y_up=settings.y_up,
            tap=settings.tap,
            flow=self._flow,
            priority=Priority.INTERIM if wanted.state == "interim" else Priority.GLYPH,
        )
        writer.drawn = (wanted.glyph, wanted.edition, drawing)
        if wanted.state == "provisional":
            drawing.on_settled(lambda: self._recognized(writer, wanted, drawing))
        self._resources.renderer.add(writer, drawing)
        return drawing

    def _recognized(self, writer: _Writer, wanted: Wanted, drawing: RenderJob) -> None:
        share = drawing.share
        if share is None or self._writers.get(writer.number) is not writer:
            return
        reading = read(share)
        lasts = stability("provisional", reading.digit, reading.confidence) >= SURE
        if lasts and not reading.reason:
            writer.pen.recognized(wanted.glyph, wanted.edition, reading.digit)
            self._set_alarm(writer)

    def _set_alarm(self, writer: _Writer) -> None:
        due = writer.pen.due()
        # An alarm that comes too early is set anew when it does: a pen that writes moves its due time
        # with every packet, its entry in the heap only now and then.
        if due is not None and due < writer.alarm:
            writer.alarm = due
            heappush(self._alarms, (due, writer.number))
            if len(self._alarms) > 2 * len(self._writers) + SLACK:
                self._alarms = [(it.alarm, it.number) for it in self._writers.values()]
                heapify(self._alarms)
            self._arm()

    def _arm(self) -> None:
        while self._alarms and self._is_stale(*self._alarms[0]):
            heappop(self._alarms)
        at = self._alarms[0][0] if self._alarms else float("inf")
        if at == self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._clock.call_at(at, self._ring) if self._alarms else None

    def _is_stale(self, at: float, number: int) -> bool:
        writer = self._writers.get(number)
        return writer is None or writer.alarm != at or at == float("inf")

    def _ring(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        now = self._clock.time()
        while self._alarms and self._alarms[0][0] <= now:
            at, number = heappop(self._alarms)
            if self._is_stale(at, number):
                continue
            writer = self._writers[number]
            writer.alarm = float("inf")
            try:
                writer.pen.tick(now)
            except InkFault as fault:
                self._settle(writer, now)
                self._refuse(number, fault)
            else:
                self._settle(writer, now)
        self._arm()
