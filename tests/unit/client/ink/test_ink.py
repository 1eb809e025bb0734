from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inkstream import InputError
from inkstream.ink import Ink, InvalidInk, Stroke

from tests.unit.client.ink import inks


def test_a_stroke_copies_its_points_and_cannot_be_changed() -> None:
    x = np.array([1.0, 2.0])
    stroke = Stroke(x, [3, 4])  # type: ignore[arg-type]
    x[0] = 9
    assert stroke.points.tolist() == [[1, 3], [2, 4]]
    with pytest.raises(ValueError, match="read-only"):
        stroke.x[0] = 9


def test_strokes_with_equal_columns_are_equal() -> None:
    assert Stroke.of([(1, 2)]) == Stroke.of([(1, 2)])
    assert hash(Stroke.of([(0.0, 2)])) == hash(Stroke.of([(-0.0, 2)]))
    assert Stroke.of([(1, 2)]) != Stroke.of([(1, 2, 0)])
    assert Stroke.of([(1, 2)]) != Stroke.of([(1, 3)])
    assert Stroke.of([(1, 2)]) != "stroke"
    assert len({inks.seven(), inks.seven(), inks.seven(label="1")}) == 2


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        (([1, 2], [1]), "y: expected 2 values as x, got 1"),
        (([1], [1], [1, 2]), "t_ms: expected 1 values"),
        (([float("nan")], [1]), "x: expected finite numbers"),
        (([1], [[1]]), "y: expected one column"),
        ((["a"], [1]), "x: expected numbers"),
    ],
)
def test_columns_that_make_no_stroke_are_refused(
    columns: tuple[list[float], ...], reason: str
) -> None:
    with pytest.raises(InvalidInk, match=reason):
        Stroke(*columns)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "facts",
    [{"y": "left"}, {"units": "inch"}, {"per_mm": (0.0, 1.0)}, {"points_per_second": float("nan")}],
)
def test_invalid_facts_are_refused_by_name(facts: dict[str, object]) -> None:
    with pytest.raises(InvalidInk, match=next(iter(facts))):
        Ink((), **facts)  # type: ignore[arg-type]


def test_an_ink_error_is_an_input_error() -> None:
    assert issubclass(InvalidInk, InputError)
    error = InvalidInk("expected ink", "a.jsonl", 3)
    assert str(error) == "a.jsonl:3: expected ink"
    assert (error.source, error.line, error.reason) == ("a.jsonl", 3, "expected ink")


def test_points_may_carry_times_and_pressures() -> None:
    stroke = Stroke.of([(1, 2, 30, 0.5)])
    assert stroke == Stroke(*np.array([[1], [2], [30], [0.5]]))
    assert Stroke.of([(1, 2, 30)]).pressure is None
    with pytest.raises(InvalidInk, match=r"shape \(n, 2\), \(n, 3\) or \(n, 4\), got \(1, 5\)"):
        Stroke.of([(1, 2, 3, 4, 5)])


@pytest.mark.parametrize("bad", [5, [1, 2], [[1]], [[1, 2, 3, 4, 5]], [["a", "b"]], [[1, 2], [3]]])
def test_input_that_is_no_table_of_points_makes_no_stroke(bad: Any) -> None:
    with pytest.raises(InvalidInk, match=r"^point(s| 0| 1): expected"):
        Stroke.of(bad)


@st.composite
def _points(draw: st.DrawFn) -> list[tuple[float, ...]]:
    numbers = st.integers(-1000, 1000) | st.floats(-1e6, 1e6)
    point = st.tuples(*[numbers] * draw(st.integers(2, 4)))
    return draw(st.lists(point, min_size=1, max_size=5))


@given(strokes=st.lists(_points(), max_size=3))
def test_ink_accepts_points_in_the_same_forms_as_pens(strokes: list[Any]) -> None:
    """Points as rows of any kind, as arrays, and beside strokes."""
    expected = Ink(tuple(Stroke.of(points) for points in strokes))
    arrays = [np.array(points) for points in strokes]
    rows = [[[*point] for point in points] for points in strokes]
    mixed = [each if place % 2 else Stroke.of(each) for place, each in enumerate(strokes)]
    for given_as in (strokes, arrays, rows, mixed, iter(strokes)):
        assert Ink(given_as) == expected  # type: ignore[arg-type]
    for points, array in zip(strokes, expected.arrays(), strict=True):
        assert array.tolist() == [[*point[:2]] for point in points]


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.binary(),
    lambda parts: (
        st.lists(parts, max_size=3)
        | st.tuples(parts, parts)
        | st.dictionaries(st.integers(), parts, max_size=2)
    ),
    max_leaves=8,
)


@given(strokes=_ANYTHING)
def test_input_that_is_no_ink_raises_invalid_ink_only(strokes: Any) -> None:
    try:
        ink = Ink(strokes)
    except InvalidInk as error:
        assert str(error).startswith("strokes")
    else:
        assert all(isinstance(stroke, Stroke) for stroke in ink.strokes)


@given(
    before=st.lists(_points(), max_size=3),
    points=_points(),
    place=st.integers(0, 4),
    wrong=st.sampled_from([(5,), "a", (None, object()), (10**400, 1), (), (1, 2, 3, 4, 5)]),
)
def test_an_error_names_the_stroke_and_the_point(
    before: list[Any], points: list[Any], place: int, wrong: Any
) -> None:
    points.insert(1 + place % len(points), wrong)
    found = points.index(wrong)
    with pytest.raises(InvalidInk, match=rf"^strokes\[{len(before)}\]: point {found}: expected"):
        Ink([*before, points])  # type: ignore[arg-type]


def test_a_number_that_is_not_finite_is_named_by_stroke_and_point() -> None:
    with pytest.raises(InvalidInk, match=r"^strokes\[1\]: y: .* got nan at point 2$"):
        Ink([[(0, 0)], [(0, 0), (1, 1), (2, float("nan"))]])  # type: ignore[arg-type]


def test_different_resolutions_of_x_and_y_are_corrected() -> None:
    ink = inks.seven(per_mm=(10.0, 20.0))
    assert ink.arrays()[0][1].tolist() == [20, 5]
    assert inks.seven().arrays()[0][1].tolist() == [20, 10]


def test_turning_y_twice_changes_nothing() -> None:
    ink = inks.seven()
    turned = ink.with_y("up")
    assert turned.y == "up"
    assert turned.strokes[0].y.tolist() == (-ink.strokes[0].y).tolist()
    assert turned.with_y("down") == ink
    assert ink.with_y("down") is ink
