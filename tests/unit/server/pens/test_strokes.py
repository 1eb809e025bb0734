from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inkstream_server.ink.strays import SPECK
from inkstream_server.limits.memory_book import UNLIMITED, Account
from inkstream_server.pens.strokes import Extent, Glyph, Stroke

STEPS = st.lists(
    st.tuples(st.integers(-(2**31), 2**31 - 1), st.integers(-9, 9)), min_size=1, max_size=150
)
ACCOUNT = Account(UNLIMITED)
Steps = list[tuple[int, int]]


def add(stroke: Stroke, steps: Steps, dt_ms: int | None = None) -> None:
    times = [] if dt_ms is None else [dt_ms] * len(steps)
    stroke.add(([dx for dx, _ in steps], [dy for _, dy in steps], times, []))


def made(number: int, *packets: Steps) -> Stroke:
    stroke = Stroke(number, 0.0, 0, ACCOUNT)
    for packet in packets:
        add(stroke, packet)
    return stroke


def glyph_of(*strokes: Stroke) -> Glyph:
    glyph = Glyph(1, 0.0, ACCOUNT)
    for stroke in strokes:
        glyph.join(stroke)
    return glyph


@given(st.lists(STEPS, max_size=4))
def test_points_and_extents_are_those_of_all_differences_however_they_were_packed(
    packets: list[Steps],
) -> None:
    stroke = Stroke(1, 0.0, 0, ACCOUNT)
    glyph = glyph_of(stroke)
    assert (len(stroke), stroke.size, glyph.sketch().ink()) == (0, -np.inf, ())
    steps: Steps = []
    for packet in packets:
        add(stroke, packet)
        steps += packet
        wanted = np.cumsum(steps, axis=0, dtype=np.float64)
        (points,) = glyph.sketch().ink()
        np.testing.assert_array_equal(points, wanted)
        assert len(stroke) == len(wanted)
        assert stroke.first == tuple(wanted[0])
        assert stroke.extent == (*wanted.min(axis=0), *wanted.max(axis=0))
        assert stroke.size == stroke.extent.size


def test_a_sketch_stays_as_it_was_when_its_glyph_goes_on() -> None:
    first, last = made(1, [(1, 1), (1, 1)]), made(2, [(5, 5)])
    glyph = glyph_of(made(7), first, last)
    before = glyph.sketch()
    add(last, [(2, 3)])
    glyph.join(made(3, [(9, 9)]))
    glyph.drop(1)
    assert [points.tolist() for points in before.ink()] == [[[1, 1], [2, 2]], [[5, 5]]]
    assert [points.tolist() for points in glyph.sketch().ink()] == [[[5, 5], [7, 8]], [[9, 9]]]


def test_a_stroke_ends_where_its_times_end_on_the_callers_clock() -> None:
    stroke = Stroke(1, 0.0, 5000, ACCOUNT)
    add(stroke, [(0, 0), (1, 1)], dt_ms=10)
    assert stroke.ends_ms == 5020
    add(stroke, [(1, 1)])  # Without a time, so later times are unknown.
    add(stroke, [(1, 1)], dt_ms=10)
    assert stroke.ends_ms == 0


def test_the_extent_of_a_glyph_is_that_of_the_strokes_that_have_ink() -> None:
    assert glyph_of().extent is None
    glyph = glyph_of(made(1, [(0, 0), (10, 5)]), made(2), made(3, [(-3, 39), (0, 1)]))
    assert (extent := glyph.extent) == (-3, 0, 10, 40)
    assert extent is not None
    assert extent.size == 40
    assert glyph.points == 4
    assert [len(points) for points in glyph.sketch().ink()] == [2, 2]


def test_a_speck_does_not_enlarge_a_glyph_that_has_other_ink() -> None:
    glyph = glyph_of(made(1, [(90, 30)]))
    assert glyph.extent == (90, 30, 90, 30)
    glyph.join(made(2, [(0, 0), (10, 40)]))
    glyph.changed(0.0)
    assert glyph.extent == (0, 0, 10, 40)


def test_a_change_of_ink_discards_the_last_digit() -> None:
    glyph = Glyph(1, 0.0, ACCOUNT)
    glyph.digit = 7
    glyph.changed(2.5)
    assert (glyph.edition, glyph.inked) == (1, 2.5)
    assert glyph.digit is None


def found_anew(glyph: Glyph) -> Extent | None:
    """The extent of a glyph, from its points."""
    ink = glyph.sketch().ink()
    sizes = [float(np.ptp(points, axis=0).max()) for points in ink]
    kept = [points for points, size in zip(ink, sizes, strict=True) if size >= SPECK * max(sizes)]
    if not kept:
        return None
    points = np.concatenate(kept)
    return Extent(*points.min(axis=0).tolist(), *points.max(axis=0).tolist())


COORDINATES = st.sampled_from([0, 1, 2, 19, 20, 21, 400, -400, 8000])
CHANGES: st.SearchStrategy[tuple[str, object]] = st.one_of(
    st.tuples(st.just("begin"), st.just([])),
    st.tuples(st.just("grow"), st.lists(st.tuples(COORDINATES, COORDINATES), min_size=1)),
    st.tuples(st.just("erase"), st.integers(0, 30)),
)


@pytest.mark.parametrize("asks_always", [True, False])
@given(st.lists(CHANGES, max_size=30))
def test_the_extent_that_a_glyph_keeps_is_the_one_that_is_found_anew(
    asks_always: bool, changes: list[tuple[str, object]]
) -> None:
    glyph = Glyph(1, 0.0, ACCOUNT)
    for number, (kind, value) in enumerate(changes):
        if kind == "begin":
            glyph.join(Stroke(number, 0.0, 0, ACCOUNT))
        elif glyph.strokes and kind == "grow":
            last = next(reversed(glyph.strokes.values()))
            assert isinstance(value, list)
            glyph.grow(last, ([dx for dx, _ in value], [dy for _, dy in value], [], []))
        elif glyph.strokes:
            assert isinstance(value, int)
            glyph.drop([*glyph.strokes][value % len(glyph.strokes)])
        glyph.changed(0.0)
        if asks_always:
            assert glyph.extent == found_anew(glyph)
        assert glyph.points == sum(map(len, glyph.strokes.values()))
    assert glyph.extent == found_anew(glyph)
