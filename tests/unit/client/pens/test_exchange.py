"""Property tests of packing ink: streams are valid, and every awaited answer arrives."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from inkstream import ClientClosed, ConnectionLost, InkstreamError, Overloaded, ProtocolError
from inkstream._pens.exchange import InkExchange
from inkstream._pens.journal import PenJournal
from inkstream._pens.outbox import MOST_EVENTS, MOST_POINTS, InkOutbox
from inkstream._pens.point_coder import Columns
from inkstream._pens.written import points_in, stroke_begun
from inkstream._results.glyphs import GlyphResult, GlyphState
from inkstream.ink import InvalidInk
from inkstream.v1 import error_pb2, ink_pb2
from inkstream.v1 import recognition_service_pb2 as wire

from tests.unit.client.pens.paper import Paper

PACKET = 0.02


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Writer:
    """Writes like `PenBase` and collects a pen's answers."""

    def __init__(self, outbox: InkOutbox) -> None:
        self.outbox = outbox
        self.results: list[GlyphResult] = []
        self.errors: list[InkstreamError] = []
        self.looks = 0
        self.strokes = 0
        self.points: dict[int, int] = {}
        self.ends = 0
        self.ends_before: dict[int, int] = {}
        self.taken_back: set[int] = set()
        self.is_down = False
        self.journal: PenJournal = outbox.new_pen(ink_pb2.PenOpen(unit=ink_pb2.UNIT_PIXEL), self)

    def deliver(self, item: GlyphResult | InkstreamError) -> None:
        if isinstance(item, InkstreamError):
            self.errors.append(item)
        else:
            self.results.append(item)

    def recheck(self) -> None:
        self.looks += 1

    def begin(self, points: int = 1) -> bool:
        woken = self.outbox.begin(self.journal, self.strokes + 1, 0, steps(points))
        self.strokes += 1
        self.points[self.strokes] = points
        self.ends_before[self.strokes] = self.ends
        self.is_down = True
        return woken

    def move(self, points: int = 1) -> bool:
        woken = self.outbox.add(self.journal, steps(points))
        self.points[self.strokes] += points
        return woken

    def end(self) -> bool:
        self.is_down = False
        return self.outbox.end_stroke(self.journal)

    def stroke(self, points: int = 1) -> None:
        self.begin(points)
        self.end()

    def erase(self, stroke: int) -> bool:
        self.is_down &= stroke != self.strokes
        self.taken_back.add(stroke)
        return self.outbox.erase(self.journal, stroke)

    def clear(self) -> bool:
        self.is_down = False
        self.taken_back.update(self.journal.unanswered)
        return self.outbox.clear(self.journal)

    def end_glyph(self) -> bool:
        self.ends += 1
        return self.outbox.end_glyph(self.journal)

    def close(self) -> bool:
        return self.outbox.close_pen(self.journal)


def steps(points: int) -> Columns:
    return [1] * points, [2] * points, (), ()


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
    """Pens write, messages leave, answers arrive, streams break and servers stop, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.outbox = InkOutbox(packet_seconds=PACKET, most_points=40_000, clock=self.clock)
        self.writers = [Writer(self.outbox) for _ in range(2)]
        self.exchange, self.paper = InkExchange(self.outbox), Paper()
        self.sleeps_until: float | None = None

    def note(self, woken: bool, writer: Writer, *, due: float) -> None:
        """Check that a sender which sleeps beyond the next due time of the writer's ink is woken."""
        asleep = self.sleeps_until
        if asleep is not None and due < asleep and writer.journal.waiting:
            assert woken, "the writer is not woken"
        if woken:
            self.sleeps_until = None

    @rule(pen=st.integers(0, 1), points=st.sampled_from([1, 2, 5000]))
    def pen_draws(self, pen: int, points: int) -> None:
        writer = self.writers[pen]
        if writer.journal.is_closed:
            return
        try:
            woken = writer.move(points) if writer.is_down else writer.begin(points)
        except Overloaded:
            return
        self.note(woken, writer, due=self.clock.now + PACKET)

    @rule(pen=st.integers(0, 1))
    def pen_lifts(self, pen: int) -> None:
        writer = self.writers[pen]
        if writer.is_down:
            self.note(writer.end(), writer, due=self.clock.now)

    @rule(pen=st.integers(0, 1), ends=st.booleans())
    def a_stroke_is_written_and_leaves(self, pen: int, ends: bool) -> None:
        writer = self.writers[pen]
        if writer.is_down:
            self.pen_lifts(pen)
        self.pen_draws(pen, 1)
        self.pen_lifts(pen)
        if ends:
            self.pen_ends_a_digit(pen)
        self.a_message_leaves(at_once=True)

    @rule(pen=st.integers(0, 1))
    def pen_ends_a_digit(self, pen: int) -> None:
        writer = self.writers[pen]
        if not writer.journal.is_closed and not writer.is_down:
            self.note(writer.end_glyph(), writer, due=self.clock.now)

    @rule(pen=st.integers(0, 1), back=st.integers(0, 3))
    def pen_erases(self, pen: int, back: int) -> None:
        writer = self.writers[pen]
        stroke = writer.strokes - back
        if not writer.journal.is_closed and stroke in writer.journal.unanswered:
            self.note(writer.erase(stroke), writer, due=self.clock.now)

    @rule(pen=st.integers(0, 1))
    def pen_clears(self, pen: int) -> None:
        writer = self.writers[pen]
        if not writer.journal.is_closed:
            self.note(writer.clear(), writer, due=self.clock.now)

    @rule(pen=st.integers(0, 1))
    def pen_leaves(self, pen: int) -> None:
        writer = self.writers[pen]
        if not writer.journal.is_closed and not writer.is_down:
            self.note(writer.close(), writer, due=self.clock.now)

    @rule(at_once=st.booleans())
    def a_message_leaves(self, at_once: bool) -> None:
        message = self.exchange.next_message(at_once=at_once)
        if message is not None:
            self.paper.read(message)
            return
        left = self.outbox.seconds_left()
        assert at_once is False or left is None, "waiting events were not sent"
        self.sleeps_until = float("inf") if left is None else self.clock.now + left

    @rule(seconds=st.sampled_from([0.001, PACKET, 1.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds
        if self.sleeps_until is not None and self.clock.now >= self.sleeps_until:
            self.sleeps_until = None

    @rule(pen=st.integers(1, 2))
    def a_pause_ends_a_digit(self, pen: int) -> None:
        if pen in self.paper.glyphs and pen not in self.paper.closed:
            self.paper.pause(pen)

    @precondition(lambda self: self.paper.due)
    @rule(count=st.integers(1, 5))
    def answers_arrive(self, count: int) -> None:
        arrived, self.paper.due = self.paper.due[:count], self.paper.due[count:]
        self.exchange.receive(wire.StreamRecognizeResponse(glyphs=arrived))

    @rule(is_wreck=st.booleans(), is_heard=st.booleans())
    def the_stream_ends(self, is_wreck: bool, is_heard: bool) -> None:
        old, due = self.exchange, self.paper.due
        wreck = ConnectionLost("gone") if is_wreck else None
        self.exchange.give_back(wreck, most_broken=1 << 30)
        self.exchange, self.paper = InkExchange(self.outbox), Paper()
        self.sleeps_until = None
        self.outbox.date()
        if is_heard and due:
            # The previous server still answers, as the next one will; one of the answers is enough.
            old.receive(wire.StreamRecognizeResponse(glyphs=due))

    @rule()
    def the_server_stops(self) -> None:
        """The server ends all digits, finished or not; the client leaves before or after its answers."""
        self.exchange.is_leaving = True
        for pen in self.paper.glyphs.keys() - self.paper.closed:
            self.paper.down.pop(pen, None)
            self.paper.pause(pen)
        if self.paper.due:
            self.exchange.receive(wire.StreamRecognizeResponse(glyphs=self.paper.due))
        self.the_stream_ends(is_wreck=False, is_heard=False)

    @invariant()
    def no_error_was_reported(self) -> None:
        assert not any(writer.errors for writer in self.writers)

    @invariant()
    def the_room_counts_what_the_pens_hold(self) -> None:
        room = self.outbox.room
        journals = [writer.journal for writer in self.writers]
        assert room.points == sum(points_in(journal.waiting) for journal in journals)
        assert [journal.held for journal in journals] == [journal.weigh() for journal in journals]
        assert room.ink == sum(journal.held for journal in journals)

    @invariant()
    def what_is_unanswered_lies_on_the_stream_or_waits(self) -> None:
        for writer in self.writers:
            journal = writer.journal
            glyph = self.paper.glyphs.get(journal.number)
            known = {stroke_begun(event) for event in journal.waiting} - {0}
            known.update(glyph.strokes if glyph else ())
            for result in self.paper.due:
                known.update(result.strokes if result.pen == journal.number else ())
            assert set(journal.unanswered) <= known, "lost"
            open_or_due = bool(glyph) or any(
                result.pen == journal.number and result.state == ink_pb2.GLYPH_STATE_FINAL
                for result in self.paper.due
            )
            if journal.erased and not journal.waiting:
                assert open_or_due, "no answer is pending for the waiting pen"

    def teardown(self) -> None:
        """Check that in the end each stroke has exactly one final answer."""
        for writer in self.writers:
            if writer.is_down:
                writer.end()
            if not writer.journal.is_closed:
                writer.close()
        while (message := self.exchange.next_message(at_once=True)) is not None:
            self.paper.read(message)
        assert self.outbox.seconds_left() is None
        assert not len(self.outbox)
        if self.paper.due:
            self.exchange.receive(wire.StreamRecognizeResponse(glyphs=self.paper.due))
        for writer in self.writers:
            self.check(writer)
        assert self.outbox.room.held == 0, "closed pens hold something"
        for pen, strokes in self.paper.finished:
            for stroke, points in strokes.items():
                assert points == self.writers[pen - 1].points[stroke], "points were lost or doubled"

    def check(self, writer: Writer) -> None:
        assert not writer.journal.is_pending
        finals = [result for result in writer.results if result.is_final]
        answered = [stroke for result in finals for stroke in result.strokes]
        assert len(answered) == len(set(answered)), "answered twice"
        wanted = set(range(1, writer.strokes + 1)) - writer.taken_back
        assert wanted <= set(answered), "not answered"
        numbers = [result.glyph for result in finals]
        assert numbers == sorted(set(numbers)), "numbers rise, also over several streams"
        for result in finals:
            held = [stroke for stroke in result.strokes if stroke not in writer.taken_back]
            ends = {writer.ends_before[stroke] for stroke in held}
            assert len(ends) <= 1, "two digits became one"
        revisions: dict[int, int] = {}
        for result in writer.results:
            assert result.revision > revisions.get(result.glyph, 0), (
                "revisions rise, also over several streams"
            )
            revisions[result.glyph] = result.revision
        if not writer.taken_back:
            reported = [(r.glyph, r.strokes) for r in writer.results if not r.is_final]
            assert len(reported) == len(set(reported)), "reported twice"


AnyInterleaving.TestCase.settings = settings(stateful_step_count=40)
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


def test_a_pen_that_writes_much_delays_no_other(outbox: InkOutbox, exchange: InkExchange) -> None:
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


def test_the_number_of_events_in_a_message_is_bounded() -> None:
    outbox = InkOutbox(packet_seconds=PACKET, most_points=100_000)
    exchange = InkExchange(outbox)
    writers = [Writer(outbox) for _ in range(MOST_EVENTS)]
    for writer in writers:
        writer.stroke()
    first = exchange.next_message()
    assert first is not None
    assert len(first.ink.events) < 2 * MOST_EVENTS
    while exchange.next_message() is not None:
        pass
    assert not len(outbox)


def test_ink_beyond_the_buffer_is_refused_until_there_is_room(
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


def test_a_closed_outbox_accepts_nothing(outbox: InkOutbox) -> None:
    writer = Writer(outbox)
    writer.begin()
    outbox.close()
    for act in (writer.move, writer.end, writer.end_glyph, lambda: Writer(outbox)):
        with pytest.raises(ClientClosed):
            act()
    assert not writer.close()


def test_a_partly_sent_stroke_is_sent_whole_to_the_next_stream(
    outbox: InkOutbox, exchange: InkExchange
) -> None:
    writer = Writer(outbox)
    writer.begin()
    exchange.next_message(at_once=True)
    writer.move()
    writer.end()
    writer.stroke(2)
    exchange.give_back(ConnectionLost("gone"), most_broken=1)
    assert not writer.errors
    message = InkExchange(outbox).next_message()
    whole = [(1, "stroke_begin"), (1, "points"), (1, "points"), (1, "stroke_end")]
    assert kinds(message) == [(1, "open"), *whole, (1, "stroke_begin"), *whole[1:2], whole[-1]]
    assert [*writer.journal.unanswered] == [1, 2]


def test_ink_that_breaks_every_stream_is_failed(outbox: InkOutbox) -> None:
    deadly, other = Writer(outbox), Writer(outbox)
    deadly.stroke()
    other.begin()
    for _ in range(3):
        exchange = InkExchange(outbox)
        exchange.next_message(at_once=True)
        assert not deadly.errors
        exchange.give_back(ConnectionLost("gone"), most_broken=2)
    assert [type(error) for error in deadly.errors] == [ConnectionLost]
    assert not deadly.journal.unanswered
    deadly.stroke()
    message = InkExchange(outbox).next_message(at_once=True)
    assert message is not None
    assert message.ink.events[1].stroke_begin.stroke == 2


def test_strokes_that_waited_together_carry_the_times_of_their_pauses(
    outbox: InkOutbox, exchange: InkExchange, clock: Clock
) -> None:
    clock.now = 10.0
    writer = Writer(outbox)
    writer.begin(2)
    exchange.next_message(at_once=True)
    clock.now = 10.25
    writer.end()
    exchange.give_back()
    clock.now = 12.0
    writer.begin()
    outbox.date()
    message = InkExchange(outbox).next_message(at_once=True)
    assert message is not None
    _, first, points, _, second, later = message.ink.events
    assert (first.stroke_begin.time_ms, [*points.points.dt_ms]) == (10_000, [0, 250])
    assert (second.stroke_begin.time_ms, [*later.points.dt_ms]) == (12_000, [])


def test_a_caller_with_its_own_clock_gets_no_times_added(outbox: InkOutbox) -> None:
    writer = Writer(outbox)
    outbox.begin(writer.journal, 1, 5, ([1], [1], [0], ()))
    writer.strokes = 1
    writer.end()
    writer.stroke()
    outbox.date()
    message = InkExchange(outbox).next_message()
    assert message is not None
    begins = [e.stroke_begin.time_ms for e in message.ink.events if e.HasField("stroke_begin")]
    assert begins == [5, 0]


def next_stream(outbox: InkOutbox, old: InkExchange) -> tuple[InkExchange, list[str | None]]:
    """Break a stream; return the next one and the events that it sends at once."""
    old.give_back()
    new = InkExchange(outbox)
    message = new.next_message(at_once=True)
    return new, [] if message is None else [kind for _, kind in kinds(message)]


STROKE = ["stroke_begin", "points", "stroke_end"]
PROVISIONAL = ink_pb2.GLYPH_STATE_PROVISIONAL


def test_digits_that_were_split_stay_split_on_the_next_stream(
    outbox: InkOutbox, exchange: InkExchange
) -> None:
    writer = Writer(outbox)
    writer.stroke()
    writer.stroke()
    exchange.next_message(at_once=True)
    exchange.receive(answer(1, 1, [1], PROVISIONAL))
    exchange.receive(answer(1, 2, [2], PROVISIONAL))
    new, sent = next_stream(outbox, exchange)
    assert sent == ["open", *STROKE, "glyph_end", *STROKE]
    new.receive(answer(1, 1, [1]))
    new.receive(answer(1, 2, [2]))
    assert [r.glyph for r in writer.results if r.is_final] == [1, 2]


def test_the_end_of_a_digit_is_resent(outbox: InkOutbox, exchange: InkExchange) -> None:
    writer = Writer(outbox)
    writer.stroke()
    writer.end_glyph()
    writer.stroke()
    exchange.next_message(at_once=True)
    _, sent = next_stream(outbox, exchange)
    assert sent == ["open", *STROKE, "glyph_end", *STROKE]


def test_the_end_of_a_digit_outlives_its_last_stroke(
    outbox: InkOutbox, exchange: InkExchange
) -> None:
    writer = Writer(outbox)
    writer.stroke()
    writer.stroke()
    writer.end_glyph()
    writer.stroke()
    exchange.next_message(at_once=True)
    writer.erase(2)
    exchange.next_message(at_once=True)
    _, sent = next_stream(outbox, exchange)
    assert sent == ["open", *STROKE, "glyph_end", *STROKE]


def test_erased_strokes_and_their_erasers_are_not_resent(
    outbox: InkOutbox, exchange: InkExchange
) -> None:
    writer = Writer(outbox)
    writer.stroke()
    writer.begin()
    exchange.next_message(at_once=True)
    writer.move()
    writer.erase(2)  # While it is drawn: its waiting points would have no stroke.
    new, sent = next_stream(outbox, exchange)
    assert sent == ["open", *STROKE]
    writer.stroke()
    writer.erase(3)
    _, sent = next_stream(outbox, new)
    assert sent == ["open", *STROKE, *STROKE, "stroke_remove"], "it waits with its stroke"


def test_erased_strokes_keep_only_their_own_digit_waiting_for_its_final_answer(
    outbox: InkOutbox, exchange: InkExchange
) -> None:
    writer = Writer(outbox)
    writer.stroke()
    writer.stroke()
    writer.end_glyph()
    writer.stroke()
    writer.erase(1)
    writer.erase(3)
    exchange.next_message(at_once=True)
    exchange.receive(answer(1, 1, [1], PROVISIONAL))
    exchange.receive(answer(1, 1, [2]))
    assert [*writer.journal.erased] == [3], "another digit may follow"
    exchange.receive(answer(1, 2, [3], PROVISIONAL))
    exchange.receive(answer(1, 2, [], PROVISIONAL))
    assert writer.journal.is_pending
    looks = writer.looks
    exchange.receive(answer(1, 2, []))
    assert (writer.journal.is_pending, writer.looks) == (False, looks + 1)


@pytest.mark.parametrize(
    "error",
    [
        refusal(1, stroke=1, field="stroke_begin"),
        refusal(1, stroke=1, field="stroke_remove.stroke"),
        refusal(1, field="open"),
        refusal(1, glyph=1),
    ],
    ids=["stroke", "eraser", "pen", "digit"],
)
def test_refused_strokes_that_were_erased_await_no_answer(
    outbox: InkOutbox, exchange: InkExchange, error: error_pb2.ItemError
) -> None:
    writer = Writer(outbox)
    writer.stroke()
    exchange.next_message(at_once=True)
    exchange.receive(answer(1, 1, [1], PROVISIONAL))
    writer.erase(1)
    exchange.next_message(at_once=True)
    assert writer.journal.is_pending
    exchange.receive(wire.StreamRecognizeResponse(errors=[error]))
    assert not writer.journal.is_pending


def test_a_stroke_erased_while_it_is_drawn_awaits_the_final_answer_of_the_open_digit(
    outbox: InkOutbox, exchange: InkExchange
) -> None:
    writer = Writer(outbox)
    for glyph in (1, 2):
        writer.begin()
        writer.erase(writer.strokes)
        exchange.next_message(at_once=True)
        exchange.receive(answer(1, glyph, [], PROVISIONAL))
        assert writer.journal.is_pending
        exchange.receive(answer(1, glyph, []))
        assert not writer.journal.is_pending
    writer.stroke()
    writer.begin()
    writer.erase(4)
    exchange.next_message(at_once=True)
    exchange.receive(answer(1, 3, [3], PROVISIONAL))
    exchange.receive(answer(1, 3, [3]))
    assert not writer.journal.is_pending, "it may have belonged to another digit"


def test_erased_strokes_await_no_answer_once_their_stream_is_gone(
    outbox: InkOutbox, exchange: InkExchange
) -> None:
    gone, waiting = Writer(outbox), Writer(outbox)
    for writer in (gone, waiting):
        writer.stroke()
    exchange.next_message(at_once=True)
    gone.erase(1)
    exchange.next_message(at_once=True)
    waiting.stroke()
    waiting.erase(2)
    exchange.give_back()
    assert (gone.journal.is_pending, gone.looks) == (False, 1)
    assert [*waiting.journal.erased] == [2], "the next stream gets the stroke and its eraser"
    outbox.fail(ConnectionLost("connection refused"))
    assert not waiting.journal.is_pending


def test_an_answer_to_an_eraser_is_delivered_even_if_it_equals_an_old_one(
    outbox: InkOutbox, exchange: InkExchange
) -> None:
    writer = Writer(outbox)
    writer.stroke()
    writer.stroke()
    exchange.next_message(at_once=True)
    exchange.receive(answer(1, 1, [1], PROVISIONAL))
    exchange.receive(answer(1, 1, [1, 2], PROVISIONAL))
    writer.erase(2)
    new, _ = next_stream(outbox, exchange)
    new.receive(answer(1, 1, [1], PROVISIONAL))
    assert [result.strokes for result in writer.results] == [(1,), (1, 2), (1,)]


def test_a_digit_keeps_its_number_and_its_revisions_rise(
    outbox: InkOutbox, exchange: InkExchange
) -> None:
    writer = Writer(outbox)
    writer.stroke()
    exchange.next_message(at_once=True)
    exchange.receive(answer(1, 1, [1]))
    writer.stroke()
    exchange.next_message(at_once=True)
    exchange.receive(answer(1, 2, [2], PROVISIONAL))
    new, _ = next_stream(outbox, exchange)
    writer.stroke()
    new.next_message(at_once=True)
    for strokes in ([2], [2, 3]):
        new.receive(answer(1, 1, strokes, PROVISIONAL))
    new.receive(answer(1, 1, [2, 3]))
    reported = [(r.glyph, r.revision, r.strokes) for r in writer.results]
    assert reported == [(1, 1, (1,)), (2, 1, (2,)), (2, 2, (2, 3)), (2, 3, (2, 3))]


def test_a_stopping_server_ends_only_finished_digits(
    outbox: InkOutbox, exchange: InkExchange, clock: Clock
) -> None:
    writer, other = Writer(outbox), Writer(outbox)
    for pause in (0.0, 0.7, 0.0, 0.7):
        clock.now += pause
        writer.stroke()
    other.stroke()
    exchange.next_message(at_once=True)
    exchange.is_leaving = True
    exchange.receive(answer(1, 1, [1]))  # Other digits were begun after it.
    exchange.receive(answer(1, 2, [2, 3]))
    exchange.receive(answer(1, 3, [4]))  # Its writer may be about to continue.
    assert [result.strokes for result in writer.results] == [(1,), (2, 3)]
    clock.now += 0.7
    exchange.receive(answer(2, 1, [1]))  # By now the quiet time has passed.
    assert [result.strokes for result in other.results] == [(1,)]


def test_a_server_that_stops_before_it_reads_a_stroke_does_not_end_the_digit(
    outbox: InkOutbox, exchange: InkExchange
) -> None:
    writer = Writer(outbox)
    writer.stroke()
    writer.stroke()
    exchange.next_message(at_once=True)
    exchange.is_leaving = True
    exchange.receive(answer(1, 1, [1]))
    assert writer.results == []
    new, sent = next_stream(outbox, exchange)
    assert sent == ["open", *STROKE, *STROKE]
    new.receive(answer(1, 1, [1, 2]))
    assert [result.strokes for result in writer.results] == [(1, 2)]


def test_a_server_that_stops_before_it_reads_an_eraser_does_not_end_the_digit(
    outbox: InkOutbox, exchange: InkExchange
) -> None:
    writer = Writer(outbox)
    writer.stroke()
    writer.stroke()
    exchange.next_message(at_once=True)
    writer.erase(2)
    exchange.is_leaving = True
    exchange.receive(answer(1, 1, [1, 2]))
    assert writer.results == []
    _, sent = next_stream(outbox, exchange)
    assert sent == ["open", *STROKE]


@pytest.mark.parametrize("strokes", [[2], []], ids=["erasure under way", "erased"])
def test_a_digit_reopened_by_a_stop_is_reported_before_later_erased_ones(
    strokes: list[int], outbox: InkOutbox, exchange: InkExchange
) -> None:
    writer = Writer(outbox)
    writer.stroke()
    writer.stroke()
    exchange.next_message(at_once=True)
    writer.erase(2)
    exchange.is_leaving = True
    exchange.receive(answer(1, 1, [1]))
    exchange.receive(answer(1, 2, strokes))
    assert writer.results == []
    exchange.give_back()
    again = InkExchange(outbox)
    again.next_message(at_once=True)
    again.receive(answer(1, 1, [1]))
    assert [(result.glyph, result.strokes) for result in writer.results] == [(1, (1,))]


def test_an_error_is_reported_once_even_if_its_ink_is_sent_twice(
    outbox: InkOutbox, exchange: InkExchange
) -> None:
    writer = Writer(outbox)
    writer.begin()
    exchange.next_message(at_once=True)
    error = refusal(1, glyph=1, stroke=1, field="points")
    exchange.receive(wire.StreamRecognizeResponse(errors=[error]))
    exchange.give_back()
    again = InkExchange(outbox)
    again.next_message(at_once=True)
    again.receive(wire.StreamRecognizeResponse(errors=[error]))
    assert len(writer.errors) == 1


def test_a_server_that_cannot_be_reached_fails_every_pen_once(outbox: InkOutbox) -> None:
    writing, silent = Writer(outbox), Writer(outbox)
    writing.stroke()
    writing.begin()
    outbox.fail(ConnectionLost("connection refused"))
    assert len(writing.errors) == 1
    assert not writing.journal.unanswered
    assert not silent.errors
    assert silent.looks == 1
    assert not writing.move(), "the rest of a refused stroke is dropped"
    writing.end()
    assert not len(outbox)


@pytest.mark.parametrize("way", ["fail", "give_back", "receive"])
def test_a_reader_gets_the_error_before_nothing_is_pending(
    way: str, outbox: InkOutbox, exchange: InkExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(outbox)
    pending: list[bool] = []
    monkeypatch.setattr(
        writer, "deliver", lambda _: pending.append(outbox.is_pending([writer.journal]))
    )
    writer.stroke()
    exchange.next_message(at_once=True)
    if way == "fail":
        outbox.fail(ConnectionLost("connection refused"))
    elif way == "give_back":
        exchange.give_back(ConnectionLost("gone"), most_broken=0)
    else:
        exchange.receive(wire.StreamRecognizeResponse(errors=[refusal(1, field="open")]))
    assert pending == [True]
    assert not outbox.is_pending([writer.journal])


def test_a_refused_stroke_awaits_no_answer(outbox: InkOutbox, exchange: InkExchange) -> None:
    writer = Writer(outbox)
    writer.stroke()
    writer.begin()
    exchange.next_message(at_once=True)
    error = refusal(1, stroke=2, field="stroke_begin.stroke")
    exchange.receive(wire.StreamRecognizeResponse(errors=[error]))
    assert isinstance(writer.errors[0], InvalidInk)
    assert writer.errors[0].field == "stroke_begin.stroke"
    assert [*writer.journal.unanswered] == [1]
    assert not writer.move()


def test_a_digit_whose_final_answer_fails_awaits_no_other(
    outbox: InkOutbox, exchange: InkExchange
) -> None:
    writer = Writer(outbox)
    writer.stroke()
    writer.stroke()
    exchange.next_message()
    exchange.receive(answer(1, 1, [1, 2], ink_pb2.GLYPH_STATE_PROVISIONAL))
    assert [*writer.journal.unanswered] == [1, 2]
    exchange.receive(wire.StreamRecognizeResponse(errors=[refusal(1, glyph=1)]))
    assert not writer.journal.unanswered
    assert writer.results[0].state is GlyphState.PROVISIONAL


@pytest.mark.parametrize(
    ("about", "strokes", "left"),
    [
        ({"field": "open"}, (1, 2), []),
        ({"glyph": 1}, (1, 2), []),
        ({"stroke": 2, "field": "stroke_begin"}, (2,), [1]),
        ({"glyph": 1, "stroke": 2, "field": "points"}, (2,), [1, 2]),
    ],
)
def test_refused_ink_is_reported_with_the_strokes_to_write_again_and_the_retry_after(
    outbox: InkOutbox,
    exchange: InkExchange,
    about: dict[str, Any],
    strokes: tuple[int, ...],
    left: list[int],
) -> None:
    writer = Writer(outbox)
    writer.stroke()
    writer.stroke()
    exchange.next_message()
    exchange.receive(answer(1, 1, [1, 2], PROVISIONAL))
    error = refusal(1, **about)
    error.code, error.retry_after_ms = error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED, 150
    exchange.receive(wire.StreamRecognizeResponse(errors=[error]))
    (refused,) = writer.errors
    assert isinstance(refused, Overloaded)
    assert (refused.strokes, refused.retry_after) == (strokes, 0.15)
    assert [*writer.journal.unanswered] == left, "refused ink awaits no answer"
    assert exchange.next_message() is None, "only the caller can decide whether to write it again"


def test_a_refused_pen_is_opened_anew_with_its_next_stroke(
    outbox: InkOutbox, exchange: InkExchange
) -> None:
    writer = Writer(outbox)
    writer.stroke()
    exchange.next_message()
    exchange.receive(wire.StreamRecognizeResponse(errors=[refusal(1, field="open.quiet_ms")]))
    assert not writer.journal.unanswered
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


def test_answers_to_a_closed_pen_are_ignored(outbox: InkOutbox, exchange: InkExchange) -> None:
    writer = Writer(outbox)
    writer.stroke()
    writer.close()
    exchange.next_message()
    exchange.receive(answer(1, 1, [1]))
    exchange.receive(answer(1, 2, []))
    assert [result.glyph for result in writer.results] == [1]
