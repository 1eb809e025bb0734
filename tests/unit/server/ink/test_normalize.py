from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from inkstream_server.ink import PEN_WIDTH, Normalized, normalize
from inkstream_server.ink.simplify import MOST_POINTS
from numpy.typing import NDArray

from tests.unit.server.ink import glyphs
from tests.unit.server.ink.glyphs import Strokes


def normal(strokes: Sequence[NDArray[Any]], **options: float) -> Normalized:
    glyph = normalize(strokes, y_up=False, **options)
    assert glyph is not None
    return glyph


def points_of(glyph: Normalized) -> NDArray[np.float64]:
    return np.concatenate(glyph.strokes)


def test_the_longest_side_fills_the_box_less_the_pen_and_the_aspect_is_kept() -> None:
    glyph = normal(glyphs.seven())
    assert points_of(glyph).min(axis=0).tolist() == [0, 0]
    width, height = points_of(glyph).max(axis=0)
    assert (width, height) == pytest.approx(glyph.size)
    assert height == pytest.approx(20 - PEN_WIDTH)
    assert width == pytest.approx(height * 20 / 40)


def test_a_wider_pen_makes_the_drawing_smaller() -> None:
    assert points_of(normal(glyphs.seven(), width=3.0)).max() == pytest.approx(17)


def test_the_callers_points_are_not_changed() -> None:
    strokes = glyphs.seven()[:1]
    normal(strokes)
    np.testing.assert_array_equal(strokes[0], glyphs.seven()[0])


def test_strokes_are_not_joined() -> None:
    glyph = normal(glyphs.seven())
    assert [len(stroke) for stroke in glyph.strokes] == [5, 2]


def test_ink_with_y_up_is_flipped() -> None:
    upright = normal(glyphs.seven())
    turned = normalize([stroke * (1, -1) for stroke in glyphs.seven()], y_up=True)
    assert turned is not None
    np.testing.assert_allclose(points_of(turned), points_of(upright), atol=1e-12)


@pytest.mark.parametrize(
    "strokes",
    [
        [],
        [np.empty((0, 2))],
        [np.full((3, 2), np.nan)],
        [np.array([[np.inf, 1.0]]), np.array([[1.0, -np.inf]])],
    ],
    ids=["no strokes", "empty stroke", "NaN only", "infinite only"],
)
def test_no_ink_normalises_to_none(strokes: Strokes) -> None:
    assert normalize(strokes, y_up=False) is None


def test_a_point_and_a_straight_line_are_ink() -> None:
    assert points_of(normal([np.array([[5.0, 7.0]])])).tolist() == [[0, 0]]
    line = normal([np.array([[5.0, 7.0], [5.0, 9.0], [5.0, 27.0]])])
    assert points_of(line).tolist() == [[0, 0], [0, pytest.approx(17.6)]]
    assert line.size == pytest.approx((0, 17.6))


def test_a_stroke_that_begins_where_the_last_one_ended_continues_it() -> None:
    body, bar = glyphs.seven()
    glyph = normal([body[:3], body[2:], bar])
    assert [len(stroke) for stroke in glyph.strokes] == [5, 2]


def test_a_tap_of_known_size_is_a_dot_and_not_blown_up() -> None:
    trembling = [np.array([[5.0, 7.0], [5.2, 7.1], [5.1, 7.3]])]
    assert len(points_of(normal(trembling, tap=0.5))) == 1
    assert len(points_of(normal(trembling))) == 3


def test_points_that_are_no_numbers_are_dropped_and_the_rest_is_kept() -> None:
    body, bar = glyphs.seven()
    broken = [
        np.insert(body, 2, [np.nan, 3], axis=0),
        np.array([[np.inf, np.inf]]),
        np.append(bar, [[1e300, -1e300]], axis=0),
    ]
    for found, expected in zip(normal(broken).strokes, normal(glyphs.seven()).strokes, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shape", [(3,), (3, 3), (1, 3, 2)])
def test_a_stroke_of_another_shape_is_an_error_that_says_so(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"strokes: expected shape \(n, 2\), got"):
        normalize([np.zeros(shape)], y_up=False)


@pytest.mark.parametrize("width", [0.0, 20.0, -1.0, float("nan")])
def test_a_pen_that_fills_the_box_is_an_error(width: float) -> None:
    with pytest.raises(ValueError, match="width: expected between 0 and 20"):
        normalize(glyphs.seven(), y_up=False, width=width)


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.int64, np.uint16])
def test_points_of_any_number_type_are_accepted(dtype: type) -> None:
    strokes: list[NDArray[Any]] = [stroke.astype(dtype) for stroke in glyphs.seven()]
    np.testing.assert_allclose(points_of(normal(strokes)), points_of(normal(glyphs.seven())))


@given(
    st.lists(
        hnp.arrays(
            st.sampled_from([np.float64, np.float32]),
            st.tuples(st.integers(0, 200), st.just(2)),
            elements=st.floats(width=32),
        ),
        max_size=6,
    ),
    st.booleans(),
)
@settings(deadline=None)
def test_any_floats_at_all_give_bounded_ink_in_the_box_or_none(
    strokes: Strokes, y_up: bool
) -> None:
    glyph = normalize(strokes, y_up=y_up)
    if glyph is None:
        assert not any((np.abs(stroke) < 1e30).all(axis=1).any() for stroke in strokes)
        return
    points = points_of(glyph)
    assert np.isfinite(points).all()
    assert points.min() > -1e-6
    assert points.max() < 20 - PEN_WIDTH + 1e-6
    assert len(points) <= MOST_POINTS
    assert all(len(stroke) for stroke in glyph.strokes)
