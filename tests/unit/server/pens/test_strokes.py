from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from inkstream_server.pens.strokes import Glyph, Stroke

STEPS = st.lists(st.tuples(st.integers(-(2**31), 2**31 - 1), st.integers(-9, 9)), max_size=30)


def add(stroke: Stroke, steps: list[tuple[int, int]], dt_ms: int | None = None) -> None:
    times = [] if dt_ms is None else [dt_ms] * len(steps)
    stroke.add(([dx for dx, _ in steps], [dy for _, dy in steps], times, []))


@given(STEPS, STEPS)
def test_points_are_sums_of_their_differences_for_any_packing(
    first: list[tuple[int, int]], second: list[tuple[int, int]]
) -> None:
    stroke = Stroke(1, 0.0, 0)
    add(stroke, first)
    stroke.points()  # Earlier requests must have no effect.
    add(stroke, second)
    wanted = np.cumsum([*first, *second], axis=0, dtype=np.float64).reshape(-1, 2)
    np.testing.assert_array_equal(stroke.points(), wanted)
    assert len(stroke) == len(wanted)
    if len(wanted):
        assert stroke.first == tuple(wanted[0])
        assert stroke.extent == (*wanted.min(axis=0), *wanted.max(axis=0))


def test_points_that_were_returned_do_not_change() -> None:
    stroke = Stroke(1, 0.0, 0)
    add(stroke, [(1, 1), (1, 1)])
    before = stroke.points()
    add(stroke, [(1, 1)])
    assert before.tolist() == [[1, 1], [2, 2]]


def test_a_stroke_ends_where_its_times_end_on_the_callers_clock() -> None:
    stroke = Stroke(1, 0.0, 5000)
    add(stroke, [(0, 0), (1, 1)], dt_ms=10)
    assert stroke.ends_ms == 5020
    add(stroke, [(1, 1)])  # Without a time, so later times are unknown.
    add(stroke, [(1, 1)], dt_ms=10)
    assert stroke.ends_ms == 0


def test_the_extent_of_a_glyph_is_that_of_the_strokes_that_have_ink() -> None:
    glyph = Glyph(1, 0.0)
    assert glyph.extent is None
    for number, steps in enumerate(([(0, 0), (10, 5)], [], [(-3, 39), (0, 1)]), 1):
        glyph.strokes[number] = Stroke(number, 0.0, 0)
        add(glyph.strokes[number], steps)
    assert (extent := glyph.extent) == (-3, 0, 10, 40)
    assert extent is not None
    assert extent.size == 40
    assert glyph.points == 4
    assert [len(points) for points in glyph.ink()] == [2, 2]


def test_a_speck_does_not_enlarge_a_glyph_that_has_other_ink() -> None:
    glyph = Glyph(1, 0.0, strokes={1: Stroke(1, 0.0, 0)})
    add(glyph.strokes[1], [(90, 30)])
    assert glyph.extent == (90, 30, 90, 30)
    glyph.strokes[2] = Stroke(2, 0.0, 0)
    add(glyph.strokes[2], [(0, 0), (10, 40)])
    assert glyph.extent == (0, 0, 10, 40)


def test_a_change_of_ink_discards_the_last_digit() -> None:
    glyph = Glyph(1, 0.0, digit=7)
    glyph.changed(2.5)
    assert (glyph.edition, glyph.digit, glyph.inked) == (1, None, 2.5)
