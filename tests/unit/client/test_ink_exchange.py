"""The laws of packing ink: streams that make sense, and nobody who waits in vain."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from inkstream import ClientClosed, ConnectionLost, InkstreamError, Overloaded, ProtocolError
from inkstream._columns import Columns
from inkstream._glyphs import GlyphResult, GlyphState
from inkstream._ink_exchange import InkExchange
from inkstream._ink_line import Line
from inkstream._ink_outbox import MOST_EVENTS, MOST_POINTS, InkOutbox
from inkstream.ink import InvalidInk
from inkstream.v1 import error_pb2, ink_pb2
from inkstream.v1 import recognition_service_pb2 as wire

PACKET = 0.02


class Clock:
    """Time that goes when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Writer:
    """Who waits for a pen's answers; writes as `PenBase` does."""

    def __init__(self, outbox: InkOutbox) -> None:
        self.outbox = outbox
        self.results: list[GlyphResult] = []
        self.errors: list[InkstreamError] = []
        self.looks = 0
        self.strokes = 0
        self.is_down = False
        self.line: Line = outbox.line(ink_pb2.PenOpen(unit=ink_pb2.UNIT_PIXEL), self)

    def deliver(self, result: GlyphResult) -> None:
        self.results.append(result)

    def fail(self, error: InkstreamError) -> None:
        self.errors.append(error)

    def look(self) -> None:
        self.looks += 1

    def begin(self, points: int = 1) -> bool:
        self.strokes += 1
        self.is_down = True
        return self.outbox.begin(self.line, self.strokes, 0, steps(points))

    def move(self, points: int = 1) -> bool:
        return self.outbox.add(self.line, steps(points))

    def end(self) -> bool:
        self.is_down = False
        event = ink_pb2.InkEvent(pen=self.line.number)
        event.stroke_end.SetInParent()
        return self.outbox.end_stroke(self.line, event)

    def stroke(self, points: int = 1) -> None:
        self.begin(points)
        self.end()

    def end_glyph(self) -> bool:
        event = ink_pb2.InkEvent(pen=self.line.number)
        event.glyph_end.SetInParent()
        return self.outbox.put(self.line, event)

    def close(self) -> bool:
        event = ink_pb2.InkEvent(pen=self.line.number)
        event.close.SetInParent()
        return self.outbox.finish(self.line, event)


def steps(points: int) -> Columns:
    return [1] * points, [2] * points, (), ()


class Paper:
    """A stream as a server reads it: refuses what makes no sense, and holds what is unanswered."""

    def __init__(self) -> None:
        self.open: dict[int, dict[int, int]] = {}
        """Points of each stroke without a final answer, by pen."""
        self.down: dict[int, int] = {}
        self.closed: set[int] = set()
        self.seen: set[int] = set()

    def read(self, message: wire.StreamRecognizeRequest) -> None:
        events = message.ink.events
        assert events, "a message without events"
        assert sum(len(event.points.dx) for event in events) <= MOST_POINTS
        for event in events:
            self._read(event)

    def _read(self, event: ink_pb2.InkEvent) -> None:
        pen, kind = event.pen, event.WhichOneof("event")
        assert pen not in self.closed, f"pen {pen} is closed"
        if kind == "open":
            assert pen not in self.seen, f"pen {pen} is open already"
            self.seen.add(pen)
            self.open[pen] = {}
            return
        strokes = self.open[pen]
        if kind == "stroke_begin":
            assert pen not in self.down, "the tip is down"
            self.down[pen] = event.stroke_begin.stroke
            assert self.down[pen] not in strokes
            strokes[self.down[pen]] = 0
        elif kind == "points":
            strokes[self.down[pen]] += len(event.points.dx)
        elif kind == "stroke_end":
            del self.down[pen]
        elif kind == "close":
            assert pen not in self.down
            self.closed.add(pen)

    def final(self, pen: int, glyph: int, strokes: list[int]) -> wire.StreamRecognizeResponse:
        for stroke in strokes:
            del self.open[pen][stroke]
        return answer(pen, glyph, strokes)


def answer(
    pen: int,
    glyph: int = 1,
    strokes: list[int] | None = None,
    state: ink_pb2.GlyphState = ink_pb2.GLYPH_STATE_FINAL,
) -> wire.StreamRecognizeResponse:
    result = ink_pb2.GlyphResult(pen=pen, glyph=glyph, revision=1, state=state, strokes=strokes)
    return wire.StreamRecognizeResponse(glyphs=[result])


def refusal(pen: int, glyph: int = 0, stroke: int = 0, field: str = "x") -> error_pb2.ItemError:
    return error_pb2.ItemError(
        ink=error_pb2.InkItem(pen=pen, glyph=glyph, stroke=stroke),
        code=error_pb2.ERROR_CODE_INVALID_ARGUMENT,
        field=field,
        message="no",
    )


class AnyInterleaving(RuleBasedStateMachine):
    """Pens write, messages leave, answers come and streams break, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.outbox = InkOutbox(packet_seconds=PACKET, most_points=40_000, clock=self.clock)
        self.writers = [Writer(self.outbox) for _ in range(3)]
        self.open_stream()
        self.sleeps_until: float | None = None
        self.glyphs = 0

    def open_stream(self) -> None:
        self.exchange, self.paper = InkExchange(self.outbox), Paper()
        self.glyphs_on_stream = 0

    def note(self, woken: bool, *, due: float) -> None:
        """Who sleeps longer than until something is due has to be woken."""
        asleep = self.sleeps_until
        if asleep is not None and due < asleep:
            assert woken, "the writer sleeps on"
        if woken:
            self.sleeps_until = None

    @rule(pen=st.integers(0, 2), points=st.integers(1, 5000))
    def somebody_draws(self, pen: int, points: int) -> None:
        writer = self.writers[pen]
        if writer.line.is_closed:
            return
        try:
            woken = writer.move(points) if writer.is_down else writer.begin(points)
        except Overloaded:
            writer.is_down = bool(writer.line.stroke)
            return
        if writer.line.stroke:
            self.note(woken, due=self.clock.now + PACKET)

    @rule(pen=st.integers(0, 2))
    def somebody_lifts(self, pen: int) -> None:
        writer = self.writers[pen]
        if writer.is_down:
            was_open = writer.line.stroke
            woken = writer.end()
            if was_open:
                self.note(woken, due=self.clock.now)

    @rule(pen=st.integers(0, 2))
    def somebody_leaves(self, pen: int) -> None:
        writer = self.writers[pen]
        if not writer.line.is_closed and not writer.is_down:
            self.note(writer.close(), due=self.clock.now)

    @rule(at_once=st.booleans())
    def a_message_leaves(self, at_once: bool) -> None:
        message = self.exchange.next_message(at_once=at_once)
        if message is not None:
            self.paper.read(message)
            return
        left = self.outbox.seconds_left()
        assert at_once is False or left is None, "something waits and did not leave"
        self.sleeps_until = float("inf") if left is None else self.clock.now + left

    @rule(seconds=st.sampled_from([0.001, PACKET]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds
        if self.sleeps_until is not None and self.clock.now >= self.sleeps_until:
            self.sleeps_until = None

    @precondition(lambda self: any(self.paper.open.values()))
    @rule(data=st.data())
    def a_digit_is_final(self, data: st.DataObject) -> None:
        pen = data.draw(st.sampled_from([pen for pen, held in self.paper.open.items() if held]))
        strokes = [n for n in self.paper.open[pen] if n != self.paper.down.get(pen)]
        if not strokes:
            return
        self.glyphs_on_stream += 1
        before = len(self.writer_of(pen).results)
        self.exchange.receive(self.paper.final(pen, self.glyphs_on_stream, strokes))
        results = self.writer_of(pen).results
        assert len(results) == before + 1
        assert results[-1].strokes == tuple(strokes)
        if before:
            assert results[-1].glyph > results[-2].glyph, "numbers rise over streams"

    @rule()
    def the_stream_breaks(self) -> None:
        held = {pen: bool(strokes) for pen, strokes in self.paper.open.items()}
        errors = {w.line.number: len(w.errors) for w in self.writers}
        self.exchange.fail(ConnectionLost("gone"))
        for writer in self.writers:
            told = len(writer.errors) - errors[writer.line.number]
            assert told == held.get(writer.line.number, False), "told once, and only who lost ink"
            if not writer.line.stroke:
                continue
            assert writer.is_down
        self.open_stream()

    def writer_of(self, pen: int) -> Writer:
        return next(writer for writer in self.writers if writer.line.number == pen)

    @invariant()
    def what_is_unanswered_lies_on_the_stream_or_waits(self) -> None:
        for writer in self.writers:
            line = writer.line
            waiting = {
                event.stroke_begin.stroke
                for event in line.waiting
                if isinstance(event, ink_pb2.InkEvent) and event.HasField("stroke_begin")
            }
            on_paper = set(self.paper.open.get(line.number, ()))
            assert set(line.unanswered) == waiting | on_paper

    def teardown(self) -> None:
        """Whatever has happened, in the end all has left and nothing waits."""
        while (message := self.exchange.next_message(at_once=True)) is not None:
            self.paper.read(message)
        assert self.outbox.seconds_left() is None
        assert not len(self.outbox)


AnyInterleaving.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestAnyInterleaving = AnyInterleaving.TestCase


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outbox(clock: Clock) -> InkOutbox:
    return InkOutbox(packet_seconds=PACKET, most_points=20_000, clock=clock)


@pytest.fixture
def exchange(outbox: InkOutbox) -> InkExchange:
    return InkExchange(outbox)


def kinds(message: wire.StreamRecognizeRequest | None) -> list[tuple[int, str | None]]:
    assert message is not None
    return [(event.pen, event.WhichOneof("event")) for event in message.ink.events]


def test_points_wait_for_others_and_a_pen_that_lifts_does_not(
    outbox: InkOutbox, exchange: InkExchange, clock: Clock
) -> None:
    one, two = Writer(outbox), Writer(outbox)
    assert one.begin()
    assert exchange.next_message() is None
    clock.now += PACKET / 2
    assert outbox.seconds_left() == pytest.approx(PACKET / 2)
    assert not two.begin(3)
    assert not one.move()
    assert exchange.next_message() is None
    clock.now += PACKET / 2
    first = exchange.next_message()
    assert kinds(first) == [
        (1, "open"),
        (1, "stroke_begin"),
        (1, "points"),
        (2, "open"),
        (2, "stroke_begin"),
        (2, "points"),
    ]
    assert first is not None
    assert [*first.ink.events[2].points.dx] == [1, 1]
    assert outbox.seconds_left() is None
    assert one.move()
    assert outbox.seconds_left() == pytest.approx(PACKET)
    assert one.end()
    assert kinds(exchange.next_message()) == [(1, "points"), (1, "stroke_end")]


def test_one_that_writes_much_holds_up_nobody(outbox: InkOutbox, exchange: InkExchange) -> None:
    much, little = Writer(outbox), Writer(outbox)
    much.stroke(MOST_POINTS + 1000)
    little.stroke(3)
    first, second = exchange.next_message(), exchange.next_message()
    assert kinds(first) == [(1, "open"), (1, "stroke_begin"), (1, "points")]
    assert kinds(second) == [
        (2, "open"),
        (2, "stroke_begin"),
        (2, "points"),
        (2, "stroke_end"),
        (1, "points"),
        (1, "stroke_end"),
    ]
    assert exchange.next_message() is None


def test_a_message_does_not_grow_without_bounds_by_events(
    outbox: InkOutbox, exchange: InkExchange
) -> None:
    writers = [Writer(outbox) for _ in range(MOST_EVENTS)]
    for writer in writers:
        writer.stroke()
    first = exchange.next_message()
    assert first is not None
    assert len(first.ink.events) < 2 * MOST_EVENTS
    while exchange.next_message() is not None:
        pass
    assert not len(outbox)


def test_what_exceeds_the_buffer_is_refused_until_there_is_room(
    outbox: InkOutbox, exchange: InkExchange
) -> None:
    writer = Writer(outbox)
    writer.begin(19_999)
    writer.move()
    with pytest.raises(Overloaded, match="ink_buffer"):
        writer.move()
    writer.end()  # Never refused.
    exchange.next_message()
    Writer(outbox).begin(1000)


def test_a_closed_outbox_takes_nothing(outbox: InkOutbox) -> None:
    writer = Writer(outbox)
    writer.begin()
    outbox.close()
    for act in (writer.move, writer.end, writer.end_glyph, lambda: Writer(outbox)):
        with pytest.raises(ClientClosed):
            act()
    assert not writer.close()


def test_a_stream_that_breaks_keeps_what_waits_whole(
    outbox: InkOutbox, exchange: InkExchange, clock: Clock
) -> None:
    writer = Writer(outbox)
    writer.begin()
    exchange.next_message(at_once=True)
    writer.move()
    writer.end()
    writer.stroke(2)
    exchange.fail(ConnectionLost("gone"))
    assert [type(error) for error in writer.errors] == [ConnectionLost]
    message = InkExchange(outbox).next_message()
    assert kinds(message) == [
        (1, "open"),
        (1, "stroke_begin"),
        (1, "points"),
        (1, "stroke_end"),
    ]
    assert message is not None
    assert message.ink.events[1].stroke_begin.stroke == 2
    assert [*writer.line.unanswered] == [2]


def test_a_server_that_cannot_be_reached_fails_every_pen_once(outbox: InkOutbox) -> None:
    writing, silent = Writer(outbox), Writer(outbox)
    writing.stroke()
    writing.begin()
    outbox.fail(ConnectionLost("nobody there"))
    assert len(writing.errors) == 1
    assert not writing.line.unanswered
    assert not silent.errors
    assert silent.looks == writing.looks == 1
    assert not writing.move(), "the rest of a stroke that is lost goes nowhere"
    writing.end()
    assert not len(outbox)


def test_a_refused_stroke_is_not_waited_for(outbox: InkOutbox, exchange: InkExchange) -> None:
    writer = Writer(outbox)
    writer.stroke()
    writer.begin()
    exchange.next_message(at_once=True)
    error = refusal(1, stroke=2, field="stroke_begin.stroke")
    exchange.receive(wire.StreamRecognizeResponse(errors=[error]))
    assert isinstance(writer.errors[0], InvalidInk)
    assert writer.errors[0].field == "stroke_begin.stroke"
    assert [*writer.line.unanswered] == [1]
    assert not writer.move()


def test_a_digit_whose_final_answer_fails_is_not_waited_for(
    outbox: InkOutbox, exchange: InkExchange
) -> None:
    writer = Writer(outbox)
    writer.stroke()
    writer.stroke()
    exchange.next_message()
    exchange.receive(answer(1, 1, [1, 2], ink_pb2.GLYPH_STATE_PROVISIONAL))
    assert [*writer.line.unanswered] == [1, 2]
    exchange.receive(wire.StreamRecognizeResponse(errors=[refusal(1, glyph=1)]))
    assert not writer.line.unanswered
    assert writer.results[0].state is GlyphState.PROVISIONAL


def test_a_refused_pen_is_opened_anew_with_its_next_stroke(
    outbox: InkOutbox, exchange: InkExchange
) -> None:
    writer = Writer(outbox)
    writer.stroke()
    exchange.next_message()
    exchange.receive(wire.StreamRecognizeResponse(errors=[refusal(1, field="open.quiet_ms")]))
    assert not writer.line.unanswered
    assert len(writer.errors) == 1
    writer.stroke()
    assert kinds(exchange.next_message())[0] == (1, "open")


@pytest.mark.parametrize("pen", [0, 2])
def test_an_answer_to_a_pen_that_wrote_nothing_breaks_the_contract(
    outbox: InkOutbox, exchange: InkExchange, pen: int
) -> None:
    Writer(outbox).stroke()
    exchange.next_message()
    with pytest.raises(ProtocolError):
        exchange.receive(answer(pen))
    with pytest.raises(ProtocolError):
        exchange.receive(wire.StreamRecognizeResponse(errors=[refusal(pen)]))


def test_answers_to_a_pen_that_is_gone_are_passed_over(
    outbox: InkOutbox, exchange: InkExchange
) -> None:
    writer = Writer(outbox)
    writer.stroke()
    writer.close()
    exchange.next_message()
    exchange.receive(answer(1, 1, [1]))
    exchange.receive(answer(1, 2, []))
    assert [result.glyph for result in writer.results] == [1]
