from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inkstream.v1 import error_pb2, ink_pb2
from inkstream_server.limits.memory_book import UNLIMITED, Account
from inkstream_server.pens import strokes
from inkstream_server.pens.boxes import Boxes
from inkstream_server.pens.faults import InkFault
from inkstream_server.pens.limits import PenLimits
from inkstream_server.pens.memory import InkMemory
from inkstream_server.pens.pen import Pen
from inkstream_server.pens.settings import QuietTimes, read_settings
from inkstream_server.pens.wanted import Wanted

from tests.unit.server.pens.events import BAR, Line, moved, shifted

ROOM = 10**6


class Hand:
    """Moves a pen, and records the answers that it requests."""

    def __init__(self, limits: PenLimits | None = None, **opening: object) -> None:
        self.limits = limits or PenLimits()
        open_ = ink_pb2.PenOpen(**opening)  # type: ignore[arg-type]
        self.account = Account(UNLIMITED)
        settings = read_settings(open_, QuietTimes(), self.limits, self.account)
        self.pen = Pen(settings, self.limits, InkMemory(self.account, self.limits))
        self.now = 0.0
        self.asked: list[Wanted] = []
        self.faults: list[InkFault] = []
        self.points = 0
        self.glyphs_begun = 0

    def do(self, act: Callable[..., None], *args: object) -> None:
        try:
            act(*args)
        except InkFault as fault:
            self.faults.append(fault)
        wanted, begun, points, due = self.pen.take_changes()
        assert due == self.pen.due()
        self.asked += wanted
        self.glyphs_begun += begun
        self.points += points

    def move(self, points: Line, start: Sequence[int] = (0, 0)) -> None:
        given = moved(points, start=start).points
        self.columns(given.dx[:], given.dy[:])

    def columns(
        self,
        dx: list[int],
        dy: list[int],
        dt_ms: Sequence[int] = (),
        pressure: Sequence[int] = (),
        room: int = ROOM,
    ) -> None:
        points = (dx, dy, [*dt_ms], [*pressure])
        self.do(self.pen.move, points, self.now, room)

    def begin(self, number: int, time_ms: int = 0) -> None:
        self.do(self.pen.begin, number, time_ms, self.now)

    def lift(self) -> None:
        self.do(self.pen.lift, self.now)

    def stroke(self, number: int, points: Line = BAR) -> None:
        self.begin(number)
        self.move(points)
        self.lift()

    def erase(self, number: int) -> None:
        self.do(self.pen.erase, number, self.now)

    def end_glyph(self) -> None:
        self.do(self.pen.end_glyph, self.now)

    def wait(self, seconds: float) -> None:
        """Let time pass, and recheck the pen whenever it is due."""
        until = self.now + seconds
        while (due := self.pen.due()) is not None and due <= until:
            self.now = max(self.now, due)
            self.do(self.pen.tick, self.now)
        self.now = until

    def story(self) -> list[tuple[str, int, tuple[int, ...]]]:
        return [(it.state, it.glyph.number, it.strokes) for it in self.asked]

    def finals(self) -> dict[int, tuple[int, ...]]:
        return {it.glyph.number: it.strokes for it in self.asked if it.state == "final"}


def test_a_pen_up_asks_for_a_provisional_answer_and_the_quiet_time_for_a_final_one() -> None:
    hand = Hand()
    hand.stroke(5)
    hand.wait(0.59)
    assert hand.story() == [("provisional", 1, (5,))]
    hand.wait(0.02)
    assert hand.story()[1:] == [("final", 1, (5,))]
    assert hand.pen.due() is None


def test_digits_that_are_rarely_continued_wait_less() -> None:
    for digit, seconds in {0: 0.25, 3: 0.25, 4: 0.6, 5: 0.6, 7: 0.6, None: 0.6}.items():
        hand = Hand()
        hand.stroke(1)
        (asked,) = hand.asked
        hand.pen.recognized(asked.glyph, asked.edition, digit)
        assert hand.pen.due() == pytest.approx(seconds)


def test_the_digit_of_an_older_edition_does_not_shorten_the_wait() -> None:
    hand = Hand()
    hand.stroke(1)
    hand.stroke(2)
    first, _ = hand.asked
    hand.pen.recognized(first.glyph, first.edition, 0)
    assert hand.pen.due() == pytest.approx(0.6)


def test_a_pen_may_choose_its_quiet_times() -> None:
    hand = Hand(quiet_ms=100, short_quiet_ms=40)
    hand.stroke(1)
    assert hand.pen.due() == pytest.approx(0.1)
    hand.pen.recognized(hand.asked[0].glyph, hand.asked[0].edition, 8)
    assert hand.pen.due() == pytest.approx(0.04)


def test_a_pen_that_is_down_is_not_quiet() -> None:
    hand = Hand()
    hand.stroke(1)
    hand.begin(2)
    hand.wait(10)
    assert hand.finals() == {}
    hand.move(BAR)
    hand.lift()
    hand.wait(0.6)
    assert hand.finals() == {1: (1, 2)}


def test_an_explicit_end_makes_final_at_once_and_the_next_stroke_begins_another_glyph() -> None:
    hand = Hand()
    hand.stroke(1)
    hand.end_glyph()
    hand.end_glyph()  # The quiet time could have ended first, so this is no error.
    hand.stroke(2)
    hand.end_glyph()
    assert hand.finals() == {1: (1,), 2: (2,)}
    assert not hand.faults


def test_a_stroke_clearly_to_the_right_begins_another_glyph() -> None:
    hand = Hand()
    hand.stroke(1)
    hand.stroke(2, shifted(BAR, 7))
    assert hand.story()[1:] == [("final", 1, (1,)), ("provisional", 2, (2,))]


@pytest.mark.parametrize(
    "line",
    [shifted(BAR, 5), shifted(BAR, -40), [(15, 0), (5, 0)], [(0, 30), (40, 30)]],
    ids=["near", "to the left", "comes back", "long"],
)
def test_a_stroke_not_clearly_to_the_right_continues_the_glyph(line: Line) -> None:
    hand = Hand()
    hand.stroke(1)
    hand.stroke(2, line)
    assert hand.story()[1:] == [("provisional", 1, (1, 2))]


def test_a_tap_to_the_right_neither_ends_the_digit_nor_makes_it_wider() -> None:
    hand = Hand()
    hand.stroke(1, [(20, 0), (0, 40), (50, 40)])
    hand.stroke(2, [(90, 30), (91, 30)])
    hand.stroke(3, [(35, 5), (30, 70)])
    hand.stroke(4, [(90, 0), (90, 70)])
    hand.end_glyph()
    assert hand.finals() == {1: (1, 2, 3), 2: (4,)}


def test_a_stroke_that_keeps_to_the_right_ends_the_glyph_before_it_ends_itself() -> None:
    hand = Hand(interims_per_second=20)
    hand.stroke(1)
    hand.begin(2)
    hand.move([(200, 0)])
    for step in range(40):  # Two seconds.
        hand.wait(0.05)
        hand.move([(200, step + 1)], (200, step))
    (final,) = (it for it in hand.asked if it.state == "final")
    assert (final.strokes, final.inked) == ((1,), 0.0)
    after = hand.story()[hand.asked.index(final) + 1 :]
    assert len(after) >= 30
    assert set(after) == {("interim", 2, (2,))}
    hand.lift()
    hand.end_glyph()
    assert hand.finals() == {1: (1,), 2: (2,)}


def test_a_bar_that_begins_to_the_right_and_returns_at_once_continues_the_glyph() -> None:
    hand = Hand()
    hand.stroke(1)
    hand.begin(2)
    hand.move([(30, 0), (20, 0)])
    hand.wait(0.2)
    hand.move([(5, 0)], (20, 0))
    hand.wait(0.7)
    hand.lift()
    assert hand.story()[1:] == [("provisional", 1, (1, 2))]


def test_a_bar_whose_packets_were_delayed_continues_the_glyph_by_the_callers_clock() -> None:
    hand = Hand()
    hand.stroke(1)
    hand.begin(2, 1000)
    hand.wait(0.5)
    hand.columns([30, -10], [0, 0], [0, 10])
    hand.columns([-15], [0], [10])
    hand.lift()
    assert hand.story()[1:] == [("provisional", 1, (1, 2))]


def test_a_pen_that_rests_to_the_right_ends_the_glyph_after_its_quiet_time() -> None:
    hand = Hand()
    hand.stroke(1)
    hand.wait(0.1)
    hand.begin(2)
    hand.move(shifted(BAR, 30))
    hand.wait(0.45)
    assert hand.finals() == {}
    hand.wait(0.1)
    assert hand.finals() == {1: (1,)}


def test_a_pen_that_rests_on_a_spot_to_the_right_may_be_a_tap_until_it_lifts() -> None:
    hand = Hand()
    hand.stroke(1)
    hand.begin(2)
    hand.move([(30, 0)])
    hand.wait(5)
    hand.lift()
    assert hand.story()[1:] == [("provisional", 1, (1, 2))]


@pytest.mark.parametrize("asks_for_boxes", [True, False])
def test_ink_that_grows_beside_a_digit_looks_at_no_old_ink_again(
    asks_for_boxes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand = Hand(boxes=boxes() if asks_for_boxes else [])
    for number in range(1, 60):
        hand.stroke(number, shifted(BAR, 400 + number % 9))
    looks: Counter[str] = Counter()
    around, span, at = strokes.extent_around, strokes._span, Boxes.at

    def counted_around(inked: Iterable[strokes.Stroke]) -> strokes.Extent | None:
        looks["digits"] += 1
        return around(inked)

    def counted_span(last: int, steps: array[int], first: int) -> tuple[int, int, int]:
        looks["points"] += len(steps) - first
        return span(last, steps, first)

    def counted_at(given: Boxes, x: float, y: float, current: int | None = None) -> int:
        looks["boxes"] += 1
        return at(given, x, y, current)

    monkeypatch.setattr(strokes, "extent_around", counted_around)
    monkeypatch.setattr(strokes, "_span", counted_span)
    monkeypatch.setattr(Boxes, "at", counted_at)
    hand.begin(60)
    for step in range(500):
        hand.move([(450, step % 2)], (450, (step - 1) % 2) if step else (0, 0))
    assert hand.pen._stroke is not None
    assert not hand.pen._is_placed
    # Each new point once, in both axes.
    assert looks["points"] == 2 * 500
    assert looks["digits"] == 1
    assert looks["boxes"] == asks_for_boxes


def boxes() -> list[ink_pb2.Box]:
    areas = [ink_pb2.Area(x=100 * column, y=0, width=90, height=90) for column in range(3)]
    return [ink_pb2.Box(box=column + 7, area=area) for column, area in enumerate(areas)]


def test_a_stroke_that_begins_in_another_box_begins_another_glyph_even_to_the_left() -> None:
    hand = Hand(boxes=boxes())
    hand.stroke(1, shifted(BAR, 150))
    hand.stroke(2, shifted(BAR, 185))  # Clearly to the right, in the same box.
    hand.stroke(3, shifted(BAR, 95))  # Between two boxes, close to this one.
    hand.stroke(4, shifted(BAR, 10))
    assert hand.finals() == {1: (1, 2, 3)}
    assert [it.box for it in hand.asked[-2:]] == [8, 7]


def test_a_stroke_that_leaves_its_box_stays_with_it() -> None:
    hand = Hand(boxes=boxes())
    hand.stroke(1, shifted(BAR, 150))
    hand.stroke(2, [(150, 50), (250, 50), (800, 500)])
    assert [(it.strokes, it.box) for it in hand.asked] == [((1,), 8), ((1, 2), 8)]


def test_ink_beside_all_boxes_makes_glyphs_of_its_own() -> None:
    hand = Hand(boxes=boxes())
    hand.stroke(1, shifted(BAR, 50))
    hand.stroke(2, shifted(BAR, 400))
    hand.stroke(3, shifted(BAR, 402))
    hand.stroke(4, shifted(BAR, 600))  # Clearly to the right.
    hand.stroke(5, shifted(BAR, 50))
    hand.end_glyph()
    finals = [(it.strokes, it.box) for it in hand.asked if it.state == "final"]
    assert finals == [((1,), 7), ((2, 3), 0), ((4,), 0), ((5,), 7)]


def test_a_tap_beside_all_boxes_ends_no_glyph_but_a_stroke_does_at_once() -> None:
    hand = Hand(boxes=boxes(), interims_per_second=60)
    hand.stroke(1, shifted(BAR, 50))
    hand.stroke(2, [(400, 0)])
    hand.begin(3)
    hand.move([(500, 0)])
    hand.wait(0.1)
    assert hand.finals() == {}
    hand.move([(500, 10)], (500, 0))
    assert hand.finals() == {1: (1, 2)}
    assert hand.story()[-1] == ("interim", 2, (3,))


def test_a_stroke_without_points_claims_no_box() -> None:
    hand = Hand(boxes=boxes())
    hand.begin(1)
    hand.lift()
    hand.stroke(2, shifted(BAR, 50))
    assert [(it.strokes, it.box) for it in hand.asked] == [((1,), 0), ((1, 2), 7)]


def test_boxes_are_in_units_and_ink_in_counts() -> None:
    hand = Hand(boxes=boxes(), counts_per_unit=10)
    hand.stroke(1, shifted(BAR, 1050))
    assert hand.asked[0].box == 8


def test_a_pause_on_the_callers_clock_ends_a_glyph_even_if_all_ink_arrives_at_once() -> None:
    hand = Hand()
    for number, time_ms in enumerate((1000, 1500, 2300), 1):
        hand.begin(number, time_ms)
        steps = ([0, 0], [5, 5], [0, 100])
        hand.columns(*steps)
        hand.lift()
    assert hand.finals() == {1: (1, 2)}  # 400 ms, then 700 ms.


def test_erasing_a_stroke_requests_a_new_answer_and_restarts_the_quiet_time() -> None:
    hand = Hand()
    hand.stroke(1)
    hand.stroke(2)
    hand.wait(0.5)
    hand.erase(1)
    hand.wait(0.5)
    assert hand.story()[2:] == [("provisional", 1, (2,))]
    hand.wait(0.1)
    assert hand.finals() == {1: (2,)}


def test_a_glyph_that_loses_all_its_strokes_still_gets_its_one_final_answer() -> None:
    hand = Hand()
    hand.stroke(1)
    hand.erase(1)
    hand.wait(1)
    assert hand.story()[1:] == [("provisional", 1, ()), ("final", 1, ())]
    assert hand.asked[-1].sketch.ink() == ()


def test_a_stroke_can_be_erased_while_it_is_drawn_and_its_rest_is_ignored() -> None:
    hand = Hand()
    hand.begin(1)
    hand.move(BAR)
    hand.erase(1)
    hand.move(BAR)
    hand.lift()
    hand.stroke(2)
    hand.end_glyph()
    assert hand.finals() == {1: (2,)}
    assert not hand.faults


def test_erasing_what_is_final_or_unknown_is_a_fault_that_names_it() -> None:
    hand = Hand()
    hand.stroke(3)
    hand.end_glyph()
    hand.erase(3)
    hand.erase(4)
    final, unknown = hand.faults
    assert (final.glyph, final.stroke, final.field) == (1, 3, "stroke_remove.stroke")
    assert "final" in str(final)
    assert (unknown.glyph, unknown.stroke) == (0, 4)
    assert hand.finals() == {1: (3,)}


def test_clearing_drops_the_ink_and_gives_no_final_answer() -> None:
    hand = Hand()
    hand.stroke(1)
    hand.do(hand.pen.clear)
    hand.wait(5)
    hand.stroke(2)
    hand.end_glyph()
    assert hand.finals() == {2: (2,)}
    assert [it.state for it in hand.asked].count("dropped") == 1


def test_interims_are_requested_at_the_chosen_rate_and_no_faster() -> None:
    hand = Hand(interims_per_second=10)
    hand.begin(1)
    for step in range(100):  # A second of packets.
        hand.move([(0, step + 1)], (0, step))
        hand.now += 0.01
    assert 9 <= len(hand.asked) <= 11
    assert {it.state for it in hand.asked} == {"interim"}


def test_a_stroke_without_points_belongs_to_a_glyph_too() -> None:
    hand = Hand()
    hand.begin(1)
    hand.lift()
    hand.end_glyph()
    assert hand.finals() == {1: (1,)}


def begin_twice(hand: Hand) -> None:
    hand.stroke(1)
    hand.begin(1)


def begin_while_down(hand: Hand) -> None:
    hand.begin(1)
    hand.begin(2)


@pytest.mark.parametrize(
    ("act", "field", "expected"),
    [
        (lambda hand: hand.begin(0), "stroke_begin.stroke", "not 0"),
        (begin_twice, "stroke_begin.stroke", "again"),
        (lambda hand: hand.move(BAR), "points", "no stroke is open"),
        (lambda hand: hand.lift(), "stroke_end", "no stroke is open"),
        (begin_while_down, "stroke_begin", "had not ended"),
    ],
    ids=["number 0", "number again", "not begun", "not down", "not ended"],
)
def test_an_impossible_event_is_reported_once(
    act: Callable[[Hand], None], field: str, expected: str
) -> None:
    hand = Hand()
    act(hand)
    (fault,) = hand.faults
    assert fault.field == field
    assert expected in str(fault)
    hand.lift() if hand.pen._is_refusing else None
    hand.stroke(9)
    hand.end_glyph()
    assert 9 in hand.asked[-1].strokes
    assert len(hand.faults) == 1


@pytest.mark.parametrize(
    ("columns", "field"),
    [
        (([1], [1, 2], [], []), "points.dy"),
        (([1], [1], [1, 2], []), "points.dt_ms"),
        (([1], [1], [], [1, 2]), "points.pressure"),
        (([1], [1], [], [65536]), "points.pressure"),
        (([1] * 9, [1] * 9, [], []), "points"),
    ],
)
def test_bad_points_are_refused_with_the_rest_of_their_stroke(
    columns: tuple[list[int], list[int], list[int], list[int]], field: str
) -> None:
    hand = Hand(PenLimits(points_per_glyph=8))
    hand.begin(4)
    hand.move(BAR)
    hand.columns(*columns)
    hand.move([(500, 500)])
    hand.lift()
    (fault,) = hand.faults
    assert (fault.field, fault.stroke) == (field, 4)
    assert str(fault).endswith("; the rest of the stroke is not read")
    hand.end_glyph()
    assert hand.finals() == {1: (4,)}
    assert len(hand.asked[-1].sketch.ink()[0]) == len(BAR)


def test_errors_at_limits_name_the_count_and_what_happens_to_the_stroke() -> None:
    hand = Hand(PenLimits(strokes_per_glyph=2, points_per_glyph=8))
    hand.begin(1)
    hand.move([*BAR, *BAR, *BAR])
    hand.begin(2)
    hand.move(BAR)
    hand.begin(3)
    hand.lift()
    hand.begin(4)
    assert [str(fault) for fault in hand.faults] == [
        "points: a glyph may have 8 points, all strokes together, got 9: end the glyph first, or send "
        "fewer points a second; the rest of the stroke is not read",
        "stroke_begin: stroke 2 had not ended: it was ended here, and stroke 3 is not read; "
        "end a stroke before the next",
        "stroke_begin: a glyph may have 2 strokes, got 3; stroke 4 is not read: end the glyph first",
    ]


def test_a_stream_without_room_for_points_reports_that_room_may_return() -> None:
    hand = Hand()
    hand.begin(1)
    hand.columns([1, 1], [1, 1], room=1)
    (fault,) = hand.faults
    error = fault.to_error(3)
    assert error.code == error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED
    assert error.retry_after_ms > 0


def test_a_stroke_beyond_the_limit_of_a_glyph_is_refused_by_its_number() -> None:
    hand = Hand(PenLimits(strokes_per_glyph=3))
    for number in range(1, 5):
        hand.stroke(number)
    (fault,) = hand.faults
    assert (fault.glyph, fault.stroke) == (1, 4)
    hand.end_glyph()
    assert hand.finals() == {1: (1, 2, 3)}


def test_a_pen_held_down_for_too_long_counts_as_lifted() -> None:
    hand = Hand(PenLimits(glyph_seconds=30))
    hand.begin(1)
    hand.move(BAR)
    hand.wait(31)
    (fault,) = hand.faults
    assert (fault.glyph, fault.stroke) == (1, 1)
    assert "30 s: it was ended, and the rest of the stroke is not read" in str(fault)
    assert hand.finals() == {1: (1,)}
    hand.move(BAR)
    hand.lift()
    assert len(hand.faults) == 1


def test_a_glyph_open_for_too_long_ends_with_an_error_even_if_its_pen_is_up() -> None:
    hand = Hand(PenLimits(glyph_seconds=120), quiet_ms=60_000)
    for number in (1, 2, 3):
        hand.stroke(number)
        hand.wait(40)
    assert hand.finals() == {1: (1, 2, 3)}
    (fault,) = hand.faults
    assert (fault.glyph, fault.stroke) == (1, 3)
    assert str(fault) == "stroke_begin: a glyph may stay open for 120 s: it was ended"


def test_strokes_that_are_long_final_are_dropped_so_that_memory_stays_bounded() -> None:
    hand = Hand(PenLimits(remembered_strokes=10))
    for number in range(1, 100):
        hand.stroke(number)
        hand.end_glyph()
    hand.erase(90)
    hand.erase(89)
    assert ["final" in str(fault) for fault in hand.faults] == [True, False]
    assert hand.points == 0


ACTS = st.one_of(
    st.tuples(st.just("begin"), st.integers(0, 12)),
    st.tuples(st.just("move"), st.tuples(st.integers(-60, 120), st.integers(0, 5))),
    st.tuples(st.just("lift"), st.none()),
    st.tuples(st.just("erase"), st.integers(0, 12)),
    st.tuples(st.sampled_from(["end", "clear", "uneven"]), st.none()),
    st.tuples(st.just("wait"), st.sampled_from([0.05, 0.3, 0.7, 200.0])),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(ACTS, max_size=60), st.booleans(), st.integers(0, 60))
def test_whatever_a_pen_does_its_ink_ends_in_exactly_one_final_answer(
    acts: list[tuple[str, object]], boxed: bool, interims: int
) -> None:
    limits = replace(PenLimits(), strokes_per_glyph=4, points_per_glyph=8, glyph_seconds=20)
    hand = Hand(limits, boxes=boxes() if boxed else [], interims_per_second=interims)
    accepted: list[int] = []
    taken: Counter[int] = Counter()
    for kind, value in acts:
        faults = len(hand.faults)
        if kind == "begin":
            assert isinstance(value, int)
            hand.begin(value)
            if len(hand.faults) == faults:
                accepted.append(value)
        elif kind == "move":
            assert isinstance(value, tuple)
            at, count = value
            hand.move([(at, step) for step in range(count)])
        elif kind == "lift":
            hand.lift()
        elif kind == "erase":
            hand.do(hand.pen.erase, value, hand.now)
            if len(hand.faults) == faults:
                taken[value] += 1  # type: ignore[index]
        elif kind == "end":
            hand.end_glyph()
        elif kind == "clear":
            glyph, drawn = hand.pen._glyph, hand.pen._stroke
            lost = set(glyph.strokes) if glyph else set()
            taken.update(lost | ({drawn.number} if drawn is not None else set()))
            hand.do(hand.pen.clear)
        elif kind == "uneven":
            hand.columns([1], [])
        else:
            assert isinstance(value, float)
            hand.wait(value)
        held = hand.pen._glyph
        assert held is None or len(held.strokes) <= limits.strokes_per_glyph
        inked = [*held.strokes.values()] if held else []
        drawn = hand.pen._stroke
        inked += [drawn] if drawn is not None and drawn not in inked else []
        assert hand.points == sum(map(len, inked)) <= 8
    hand.end_glyph()
    assert hand.pen.due() is None
    finals = [it for it in hand.asked if it.state == "final"]
    numbers = [it.glyph.number for it in hand.asked if it.state in ("final", "dropped")]
    assert len(numbers) == len(set(numbers)), "a glyph ended twice"
    assert {it.glyph.number for it in hand.asked} == set(numbers), "a glyph did not end"
    assert len(numbers) == hand.glyphs_begun, "a glyph began without a count"
    assert hand.points == 0
    answered = Counter(stroke for it in finals for stroke in it.strokes)
    assert answered + taken == Counter(accepted)
    last = {it.glyph.number: it.state for it in hand.asked}
    assert set(last.values()) <= {"final", "dropped"}, "an answer after the final one"
