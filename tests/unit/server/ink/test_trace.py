import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inkstream_server.ink import CHANNELS, POINTS, model_frame, model_inputs, normalize, trace_of
from numpy.typing import NDArray

from tests.unit.server.ink import glyphs
from tests.unit.server.ink.glyphs import Strokes

Trace = NDArray[np.float32]


def trace(strokes: Strokes, *, y_up: bool = False) -> Trace:
    glyph = normalize(strokes, y_up=y_up)
    assert glyph is not None
    return trace_of(glyph)


def test_a_bar_is_64_even_points_without_a_turn() -> None:
    bar = trace([np.array([[3.0, 10.0], [3.0, 50.0]])])
    assert (bar.shape, str(bar.dtype)) == ((POINTS, CHANNELS), "float32")
    np.testing.assert_allclose(bar[:, 0], 0.0, atol=1e-6)
    np.testing.assert_allclose(bar[:, 1], np.linspace(-1.0, 1.0, POINTS), atol=1e-6)
    np.testing.assert_allclose(
        bar[:, 2:], np.tile([0.0, 1.0, 1.0, 0.0, 1.0], (POINTS, 1)), atol=1e-6
    )


def test_a_corner_turns_where_it_is() -> None:
    corner = trace([np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0]])])
    turned = np.flatnonzero(np.abs(corner[:, 5]) > 0.1)
    assert set(turned) <= {30, 31, 32, 33}
    assert corner[turned, 5].min() > 0, "y grows down, so this turn is to the right"


def test_the_way_of_the_lifted_pen_is_marked() -> None:
    # Down for 10, lifted for 10, down for 10.
    lifted = trace([np.array([[0.0, 0.0], [0.0, 10.0]]), np.array([[10.0, 10.0], [10.0, 0.0]])])
    marks = lifted[:, 6]
    assert marks[[0, 20, 43, 63]].tolist() == [1.0] * 4
    assert marks[[22, 31, 41]].tolist() == [0.0] * 3


def test_ink_with_y_up_is_the_same_upside_down() -> None:
    strokes = glyphs.seven()
    flipped = [stroke * np.array([1.0, -1.0]) for stroke in strokes]
    np.testing.assert_allclose(trace(strokes, y_up=True), trace(flipped), atol=1e-6)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_neither_size_nor_place_nor_rate_matters(scale: float) -> None:
    angles = np.linspace(0.0, 5.5, 401)
    hook = np.stack([np.cos(angles), np.sin(1.3 * angles)], axis=1)
    often, seldom = trace([hook]), trace([hook[::8] * scale + 7 * scale])
    np.testing.assert_allclose(often[:, :2], seldom[:, :2], atol=0.03)


def test_an_image_and_a_trace_are_of_the_same_ink() -> None:
    strokes = glyphs.seven()
    both, frame = model_inputs(strokes, y_up=False), model_frame(strokes, y_up=False)
    assert both is not None and frame is not None
    np.testing.assert_array_equal(both[0], frame)
    np.testing.assert_array_equal(both[1], trace(strokes))
    assert model_inputs([np.array([[5.0, 5.0]])], y_up=False) is None, "a dot"
    assert model_inputs([], y_up=False) is None


_COORDINATES = st.floats(-1e6, 1e6, width=32)
_STROKES = st.lists(
    st.lists(st.tuples(_COORDINATES, _COORDINATES), min_size=1, max_size=40).map(np.array),
    min_size=1,
    max_size=8,
)


@settings(deadline=None)
@given(_STROKES, st.booleans())
def test_any_ink_becomes_bounded_numbers(strokes: Strokes, y_up: bool) -> None:
    both = model_inputs(strokes, y_up=y_up)
    if both is None:
        return
    written = both[1]
    assert np.isfinite(written).all()
    assert np.abs(written).max() <= 1.0 + 1e-5
    assert set(np.unique(written[:, 6])) <= {0.0, 1.0}
    lengths = np.hypot(written[:, 2], written[:, 3])
    assert np.all((np.abs(lengths - 1) < 1e-5) | (lengths < 1e-5))
