"""All pens of one stream: hands each pen its events and its time, and queues the replies it asks for.

Counts what arrives; replies count what leaves. Leaves the rules of glyphs to `pen`, the making of replies to
`open_pen`, and sending to the stream's session.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from inkstream.v1 import ink_pb2

from inkstream_server.access.allowance import Allowance
from inkstream_server.batching.blocks import StreamFlow
from inkstream_server.clock import Clock
from inkstream_server.limits.memory_book import Account
from inkstream_server.limits.turns import Lane, Rank, Steps
from inkstream_server.pens.boxes import BOX_BYTES
from inkstream_server.pens.due_timer import DueTimer
from inkstream_server.pens.faults import NO_ROOM_MS, FaultReply, InkFault
from inkstream_server.pens.glyph_reply import GlyphReply
from inkstream_server.pens.memory import InkMemory
from inkstream_server.pens.open_pen import OpenPen
from inkstream_server.pens.pen import PEN_BYTES, Pen
from inkstream_server.pens.renderer import GlyphRenderer
from inkstream_server.pens.resources import InkResources
from inkstream_server.pens.settings import PenSettings, read_settings
from inkstream_server.wire.ink_pieces import EVENT_BYTES, LongEvent, Piece

MOST_UNKNOWN: Final = 1024
"""Pens that are not open and named in one message, each reported once; with more, some are reported again."""


MOST_OVERDRAWN_SECONDS: Final = 1.0
"""How far a token's allowance of ink may be overdrawn before the stream is no longer read. Until then strokes
are refused, each with an error; beyond, errors alone would cost more than the ink."""


class InkSession:
    """The pens of one stream."""

    def __init__(
        self,
        resources: InkResources,
        put: Callable[[GlyphReply | FaultReply], None],
        clock: Clock | None,
        flow: StreamFlow,
        lane: Lane,
        allowance: Allowance | None,
        account: Account,
    ) -> None:
        """Start without pens.

        Args:
            resources: what the pens of all streams share.
            put: queues a reply; called in the order in which replies are to leave.
            clock: tells quiet times; None for the running event loop's.
            flow: what the stream has in the batcher's queue.
            lane: gives the stream its time.
            allowance: how many strokes the caller may send; None for any number.
            account: counts what the pens hold.
        """
        self._resources = resources
        self._metrics = resources.metrics
        self._put = put
        self._clock: Clock = clock or asyncio.get_running_loop()
        self._flow = flow
        self._allowance = allowance
        self._memory = InkMemory(account, resources.limits)
        # Those of the pen that was opened last: pens that are opened alike share them.
        self._settings: PenSettings | None = None
        self._pens: dict[int, OpenPen] = {}
        self._points = 0
        self._lane = lane
        self._renderer = GlyphRenderer(resources.batcher, self._metrics.ink, self._lane)
        # The pens that are due and wait for the lane.
        self._due: deque[int] = deque()
        self._has_ended = asyncio.Event()
        # Whether a reply was queued since the last look, and whether the rest of a message must wait.
        self._has_put = self._is_put_aside = False

    async def take(
        self,
        pieces: Iterable[Piece],
        is_full: Callable[[], bool],
        room: Callable[[], Awaitable[None]],
    ) -> None:
        """Process the events of a message, in the turns of the stream. Cancelling drops those that wait.

        Args:
            pieces: the events, in parts; each is parsed when it is asked for, and can be freed after it.
            is_full: whether the stream may not have more replies now.
            room: waits until it may.
        """
        steps = self._steps(pieces, is_full)
        while True:
            self._is_put_aside = False
            await self._lane.do(steps)
            if not self._is_put_aside:
                return
            await room()
            if self._allowance is not None and self._must_pause():
                await self._pause(self._allowance.seconds_until_ink())

    def end(self, then: Callable[[], None]) -> None:
        """Ask for the final answer of every open glyph: the stream brings no more events.

        Args:
            then: called when all are asked for, which may be later.
        """
        self._lane.begin(self._closing(then))

    async def ended(self) -> None:
        """Wait until all that `end` began is done."""
        await self._has_ended.wait()

    def _steps(self, pieces: Iterable[Piece], is_full: Callable[[], bool]) -> Steps:
        """Process events, one a step; put the rest aside where the stream may not go on."""
        unknown: set[int] = set()
        allowance = self._allowance
        for piece in pieces:
            if isinstance(piece, LongEvent):
                self._refuse_long(piece, self._pens.get(piece.pen), self._clock.time())
                yield False
                continue
            for event in piece.events:
                number = event.pen
                if allowance is not None:
                    allowance.spend_ink(1, len(event.points.dx))
                open_pen = self._pens.get(number)
                if open_pen is not None:
                    self._act(open_pen, event, self._clock.time())
                elif event.WhichOneof("event") == "open":
                    self._open(event)
                elif number not in unknown:
                    # One fault a message, not one an event.
                    if len(unknown) == MOST_UNKNOWN:
                        unknown.clear()
                    unknown.add(number)
                    fault = InkFault("pen", f"pen {number} is not open: open it first")
                    self._refuse(number, fault)
                if self._has_put or allowance is not None:
                    self._has_put = False
                    self._is_put_aside = is_full() or self._must_pause()
                yield self._is_put_aside

    async def _pause(self, seconds: float) -> None:
        is_over = asyncio.Event()
        timer = self._clock.call_at(self._clock.time() + seconds, is_over.set)
        try:
            await is_over.wait()
        finally:
            timer.cancel()

    def _must_pause(self) -> bool:
        """Whether the caller goes on to send much more ink than its token allows, and is read no further."""
        allowance = self._allowance
        return allowance is not None and allowance.seconds_until_ink() > MOST_OVERDRAWN_SECONDS

    def _closing(self, then: Callable[[], None]) -> Steps:
        try:
            while self._pens:
                self._close(next(iter(self._pens.values())), self._clock.time())
                yield False
        finally:
            self._has_ended.set()
            then()

    def _open(self, event: ink_pb2.InkEvent) -> None:
        limits, number = self._resources.limits, event.pen
        try:
            if len(self._pens) >= limits.pens:
                most = limits.pens
                wrong = f"a stream may have {most} pens open, got {most + 1}: close one first"
                raise InkFault("open", wrong, retry_after_ms=NO_ROOM_MS)
            # More boxes than a pen may have are refused as such.
            boxes = min(len(event.open.boxes), limits.boxes)
            self._memory.require(PEN_BYTES + BOX_BYTES * boxes, "open")
            settings = read_settings(
                event.open, self._resources.quiet, limits, self._memory.account
            )
        except InkFault as fault:
            self._refuse(number, fault)
            return
        if settings == self._settings:
            settings = self._settings
        self._settings = settings
        timer = DueTimer(self._clock, self._ring, number)
        pen = Pen(settings, limits, self._memory)
        self._pens[number] = OpenPen(
            number, pen, timer, settings, self._resources, self._renderer, self._flow
        )
        self._memory.pens = len(self._pens)
        self._metrics.ink.open_pens.inc()

    def _ring(self, number: int) -> None:
        self._due.append(number)
        if len(self._due) == 1:
            self._lane.begin(self._tick(), Rank.ANSWER)

    def _tick(self) -> Steps:
        """Tell pens that are due that time has passed, one a step."""
        while self._due:
            open_pen = self._pens.get(self._due[0])
            try:
                if open_pen is not None:
                    self._act(open_pen, None, self._clock.time())
            finally:
                self._due.popleft()
            if self._due:
                yield False

    def _act(self, open_pen: OpenPen, event: ink_pb2.InkEvent | None, now: float) -> None:
        """Take one event of a pen, or None where only time has passed."""
        try:
            if event is None:
                open_pen.pen.tick(now)
            else:
                self._apply(open_pen, event, now)
        except InkFault as fault:
            self._settle(open_pen, now)
            self._refuse(open_pen.number, fault)
        else:
            self._settle(open_pen, now)

    def _apply(self, open_pen: OpenPen, event: ink_pb2.InkEvent, now: float) -> None:
        """Have a pen do what an event says.

        Raises:
            InkFault: the event is refused.
        """
        pen = open_pen.pen
        kind = event.WhichOneof("event")
        allowance = self._allowance
        if kind == "points":
            if allowance is not None and (over := allowance.overdrawn()):
                wrong, retry_ms = over
                if stroke := pen.stop(now):
                    wrong += "; the rest of the stroke is not read"
                    raise InkFault("points", wrong, stroke=stroke, retry_after_ms=retry_ms)
            points = event.points
            columns = (points.dx[:], points.dy[:], points.dt_ms[:], points.pressure[:])
            self._metrics.ink.points.inc(len(columns[0]))
            pen.move(columns, now, self._resources.limits.points_per_stream - self._points)
        elif kind == "stroke_begin":
            stroke = event.stroke_begin.stroke
            pen.begin(stroke, event.stroke_begin.time_ms, now)
            if allowance is not None and (over := allowance.refusal(1)):
                pen.erase(stroke, now)
                wrong, retry_ms = over
                raise InkFault("stroke_begin", wrong, stroke=stroke, retry_after_ms=retry_ms)
        elif kind == "stroke_end":
            pen.lift(now)
        elif kind == "stroke_remove":
            pen.erase(event.stroke_remove.stroke, now)
        elif kind == "glyph_end":
            pen.end_glyph(now)
        elif kind == "clear":
            pen.clear()
        elif kind == "close":
            self._close(open_pen, now)
        elif kind == "open":
            raise InkFault("open", f"pen {event.pen} is open already: close it first")
        else:
            raise InkFault("event", "expected something that the pen did, got nothing")

    def _close(self, open_pen: OpenPen, now: float) -> None:
        open_pen.pen.end_glyph(now)
        self._settle(open_pen, now)
        open_pen.timer.cancel()
        del self._pens[open_pen.number]
        self._memory.pens = len(self._pens)
        self._metrics.ink.open_pens.dec()

    def _settle(self, open_pen: OpenPen, now: float) -> None:
        """Count what has changed, queue the replies that the pen asks for, and set its timer."""
        wanted, opened, points, due = open_pen.pen.take_changes()
        self._points += points
        if opened:
            self._metrics.accepted("ink", opened)
        for one in wanted:
            opened -= one.state in ("final", "dropped")
            reply = open_pen.reply_to(one, now)
            if reply is None:
                self._metrics.glyph_unanswered("cleared")
            else:
                self._has_put = True
                self._put(reply)
        if opened:
            self._metrics.ink.open_glyphs.inc(opened)
        open_pen.timer.set(due)

    def _refuse_long(self, event: LongEvent, open_pen: OpenPen | None, now: float) -> None:
        """Refuse an event that was not parsed, and the rest of its stroke: it may have held points."""
        if open_pen is not None:
            open_pen.pen.skip_stroke(now)
            self._settle(open_pen, now)
        wrong = (
            f"expected at most {EVENT_BYTES} bytes, got {event.size}: send the points in several events; "
            "the rest of the stroke is not read"
        )
        self._refuse(event.pen, InkFault("event", wrong))

    def _refuse(self, pen: int, fault: InkFault) -> None:
        self._metrics.accepted("ink", 1)
        self._has_put = True
        self._put(FaultReply(fault.to_error(pen), self._metrics))
