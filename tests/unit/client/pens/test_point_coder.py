"""Property tests of coding: the sums at the server equal the written points, to half a count."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inkstream import InvalidInk
from inkstream._pens.point_coder import (
    FARTHEST,
    FULL_PRESSURE,
    Columns,
    StrokeCoder,
    fit,
    scale_for,
)
from inkstream.ink import Ink

_PLACES = st.floats(-1e6, 1e6)
_ROWS = st.lists(
    st.tuples(_PLACES, _PLACES, st.floats(-1e9, 1e9), st.floats(0, 1)), min_size=1, max_size=20
)


def decoded(pieces: list[Columns]) -> np.ndarray:
    """The points as a server reads them: counts, and milliseconds since the beginning and pressure if any."""
    columns = [[value for piece in pieces for value in piece[n]] for n in range(4)]
    sums = [np.cumsum(column) for column in columns[:3]]
    return np.stack([c for c in (*sums, np.array(columns[3])) if len(c)], axis=1)


@given(_ROWS, st.data(), st.sampled_from([1.0, 16.0, 100.0]))
def test_the_sum_of_differences_equals_the_written_points(
    rows: list[tuple[float, ...]], data: st.DataObject, counts: float
) -> None:
    rows.sort(key=lambda row: row[2])
    coder = StrokeCoder(counts, rows[0][2], has_pressure=True)
    pieces, place = [], 0
    while place < len(rows):
        if data.draw(st.booleans()):
            pieces.append(coder.point(*rows[place]))
            place += 1
        else:
            stop = data.draw(st.integers(place + 1, len(rows)))
            pieces.append(coder.points(np.array(rows[place:stop])))
            place = stop
    found, table = decoded(pieces), np.array(rows)
    np.testing.assert_allclose(found[:, :2], table[:, :2] * counts, atol=0.5 + 1e-6)
    np.testing.assert_allclose(found[:, 2] + coder.time_ms - coder.shift_ms, table[:, 2], atol=0.5)
    np.testing.assert_allclose(found[:, 3], table[:, 3] * FULL_PRESSURE, atol=0.5)


def test_one_point_and_many_are_encoded_the_same() -> None:
    rows = [(1.25, -3, 10, 0.5), (2.5, -4, 19, 0.75), (-7, 0, 30, 1.5)]
    one, many = (StrokeCoder(16, 10, has_pressure=True) for _ in range(2))
    singly = decoded([one.point(*row) for row in rows])
    assert singly.tolist() == decoded([many.points(np.array(rows, float))]).tolist()
    assert singly[-1].tolist() == [-112, 0, 20, FULL_PRESSURE]


def test_a_clock_that_steps_back_stands_still() -> None:
    rows = [(0, 0, 100), (1, 1, 90), (2, 2, 130)]
    by_points = StrokeCoder(1, 100, has_pressure=False).points(np.array(rows, float))
    one = StrokeCoder(1, 100, has_pressure=False)
    assert by_points[2] == [0, 0, 30]
    assert [dt for row in rows for dt in one.point(*row, None)[2]] == [0, 0, 30]


@pytest.mark.parametrize("began", [1, 0, -5000, -0.4])
def test_any_clock_works_and_pauses_between_strokes_keep_their_length(began: float) -> None:
    first = StrokeCoder(1, began, has_pressure=False)
    first.point(0, 0, began, None)
    later = StrokeCoder(1, began + 9000, has_pressure=False, shift_ms=first.shift_ms)
    assert first.time_ms == 1, "0 would mean an unknown time"
    assert later.time_ms == 9001
    assert later.points(np.array([[0.0, 0, began + 9000], [1, 1, began + 9020]]))[2] == [0, 20]
    earlier = StrokeCoder(1, began - 10, has_pressure=False, shift_ms=first.shift_ms)
    assert earlier.time_ms == 1, "a clock that steps back counts as standing still"


def test_a_withdrawn_point_leaves_no_trace() -> None:
    coder = StrokeCoder(1, None, has_pressure=False)
    first = coder.point(5, 5, None, None)
    coder.points(np.array([[100.0, 100.0], [200.0, 200.0]]))
    coder.take_back()
    assert decoded([first, coder.point(6, 7, None, None)]).tolist() == [[5, 5], [6, 7]]


@pytest.mark.parametrize(
    ("point", "blamed"),
    [
        ((math.nan, 0, None, None), "x, y"),
        ((0, math.inf, None, None), "x, y"),
        (("7", 0, None, None), "x, y"),
        ((1e9, 0, None, None), "x, y: expected at most"),
        ((0, 0, 5, None), "t: expected it for all points of a stroke or for none"),
        ((0, 0, None, 0.5), "pressure: expected it for all"),
    ],
)
def test_a_bad_point_is_refused_and_changes_nothing(point: Any, blamed: str) -> None:
    coder = StrokeCoder(16, None, has_pressure=False)
    first = coder.point(1, 1, None, None)
    with pytest.raises(InvalidInk, match=blamed):
        coder.point(*point)
    if all(isinstance(value, int | float | None) for value in point):
        row = [value for value in point if value is not None]
        with pytest.raises(InvalidInk, match="expected"):
            coder.points(np.array([row], float))
    assert decoded([first, coder.point(2, 2, None, None)]).tolist() == [[16, 16], [32, 32]]


@pytest.mark.parametrize("t", [1e30, -1e30, 1e16, 10**400])
def test_an_impossible_time_is_refused_and_changes_nothing(t: float) -> None:
    with pytest.raises(InvalidInk, match="t: expected milliseconds"):
        StrokeCoder(1, t, has_pressure=False)
    coder = StrokeCoder(1, 10, has_pressure=False)
    first = coder.point(0, 0, 10, None)
    with pytest.raises(InvalidInk, match="t: expected milliseconds"):
        coder.point(5, 5, t, None)
    with pytest.raises(InvalidInk, match="t: expected milliseconds"):
        coder.points(np.array([[5.0, 5, 20], [6, 6, min(t, 1e300)]]))
    assert decoded([first, coder.point(1, 1, 20, None)]).tolist() == [[0, 0, 0], [1, 1, 10]]


@pytest.mark.parametrize("bad", [{"pressure": math.nan}, {"pressure": "hard"}, {"t": math.nan}])
def test_a_bad_time_or_pressure_is_refused(bad: dict[str, Any]) -> None:
    coder = StrokeCoder(16, 0 if "t" in bad else None, has_pressure="pressure" in bad)
    with pytest.raises(InvalidInk, match=next(iter(bad))):
        coder.point(0, 0, bad.get("t"), bad.get("pressure"))


_STROKES = st.lists(
    st.lists(st.tuples(st.floats(-1e300, 1e300), st.floats(-1e300, 1e300)), max_size=5).map(
        lambda points: np.array(points, float).reshape(-1, 2)
    ),
    max_size=3,
)


@given(_STROKES)
def test_any_ink_becomes_counts_that_fit_the_wire_and_keep_its_shape(
    strokes: list[np.ndarray],
) -> None:
    counts_per_unit, origin = scale_for(strokes)
    counts = [(stroke - origin) * counts_per_unit for stroke in strokes if len(stroke)]
    if not counts:
        return
    whole = np.rint(np.concatenate(counts))
    assert np.abs(whole).max() <= FARTHEST
    points = np.concatenate([stroke for stroke in strokes if len(stroke)])
    extent = np.max(points.max(axis=0) / 2 - points.min(axis=0) / 2)
    if extent > 1e-290 and (points != np.rint(points)).any():
        assert np.ptp(whole, axis=0).max() >= 4095


def test_large_integers_are_sent_unchanged() -> None:
    points = np.array([[100.0, 500], [120, 100]])
    counts_per_unit, origin = scale_for([points])
    assert (counts_per_unit, origin.tolist()) == (1.0, [0.0, 0.0])


def test_only_an_ink_can_be_fitted() -> None:
    with pytest.raises(
        InvalidInk, match=r"^ink: expected an Ink, got list; Ink\(strokes\) makes one$"
    ):
        fit([[(0, 0), (5, 20)]])  # type: ignore[arg-type]
    fitted = fit(Ink([[(0, 0), (5, 20)]]))  # type: ignore[arg-type]
    assert (fitted.counts_per_unit, [stroke.tolist() for stroke in fitted.strokes]) == (
        1.0,
        [[[0, 0], [5, 20]]],
    )
