from pathlib import Path
from random import Random

import inkstream_server
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inkstream_server.engines.litert import LiteRTEngine
from inkstream_server.ink import normalize, rasterize, tensor_of
from inkstream_server.ink.simplify import MOST_POINTS
from inkstream_server.ink.strays import MOST_STROKES
from numpy.typing import NDArray

from tests.unit.server.ink import glyphs
from tests.unit.server.ink.glyphs import Strokes

pytestmark = pytest.mark.no_cover  # Measuring it doubles its time.

Frame = NDArray[np.uint8]


def frame_of(strokes: Strokes, *, y_up: bool = False, width: float = 2.4) -> Frame:
    tensor = tensor_of(strokes, y_up=y_up, width=width)
    assert tensor is not None
    return tensor.reshape(28, 28)


def centre(frame: Frame) -> tuple[float, float]:
    """Centre of mass in pixel indices: x, y."""
    mass = frame.sum(dtype=np.float64)
    return (
        float(frame.sum(axis=0, dtype=np.float64) @ np.arange(28) / mass),
        float(frame.sum(axis=1, dtype=np.float64) @ np.arange(28) / mass),
    )


def longest_side(frame: Frame) -> int:
    """Size of the box of pixels that are at least a tenth dark."""
    sides = [np.flatnonzero((frame > 25).any(axis=axis)) for axis in (0, 1)]
    return int(max(side[-1] - side[0] + 1 for side in sides))


def difference(a: Frame, b: Frame) -> float:
    """Share of the ink that differs."""
    return float(np.abs(a.astype(int) - b).sum() / a.sum(dtype=np.int64))


def test_a_tensor_is_784_bytes_with_ink_high() -> None:
    tensor = tensor_of(glyphs.seven(), y_up=False)
    assert tensor is not None
    assert (str(tensor.dtype), tensor.shape) == ("uint8", (784,))
    assert (tensor.max(), tensor[0]) == (255, 0)


def test_no_ink_has_no_tensor() -> None:
    assert tensor_of([], y_up=False) is None


def test_a_tap_is_a_round_dot_in_the_middle() -> None:
    frame = frame_of([np.array([[3.0, 4.0]])])
    assert frame.sum() / 255 == pytest.approx(np.pi * 1.2**2, rel=0.1)
    assert centre(frame) == pytest.approx((14, 14), abs=0.05)
    np.testing.assert_allclose(frame.astype(int), frame.T.astype(int), atol=3)


def test_a_stroke_that_stays_in_place_is_a_dot_too() -> None:
    still = np.repeat([[3.0, 4.0]], 200, axis=0)
    np.testing.assert_array_equal(frame_of([still]), frame_of([still[:1]]))


@pytest.mark.parametrize("width", [2.0, 2.4, 3.0])
def test_a_straight_line_is_as_wide_as_the_pen_with_round_ends(width: float) -> None:
    frame = frame_of([np.array([[0.0, 0.0], [0.0, 50.0]])], width=width)
    assert frame[14].sum() / 255 == pytest.approx(width, abs=0.05)
    assert longest_side(frame) in (20, 21)
    ink = (20 - width) * width + np.pi * (width / 2) ** 2
    assert frame.sum() / 255 == pytest.approx(ink, rel=0.02)


def test_ink_on_both_sides_of_a_pen_up_is_not_joined() -> None:
    apart = [np.array([[0.0, 0], [0, 40]]), np.array([[30.0, 0], [30, 40]])]
    assert frame_of(apart)[10:20, 13:16].sum() == 0


def test_a_lopsided_glyph_is_shifted_only_as_far_as_it_stays_in_the_frame() -> None:
    blot = np.random.default_rng(0).uniform(0, 6, (60, 2))
    frame = frame_of([np.concatenate([blot, [[3.0, 40.0]]])])
    assert centre(frame)[0] == pytest.approx(14, abs=0.5)
    assert centre(frame)[1] < 14


@given(glyphs.written())
@settings(max_examples=60, deadline=None)
def test_a_frame_follows_mnists_rules(strokes: Strokes) -> None:
    glyph = normalize(strokes, y_up=False)
    assert glyph is not None
    frame = rasterize(glyph)
    assert centre(frame) == pytest.approx((14, 14), abs=0.5)
    assert 19 <= longest_side(frame) <= 21


@given(
    glyphs.written(),
    st.floats(1e-3, 1e4),
    st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)),
)
@settings(max_examples=60, deadline=None)
def test_place_and_size_of_the_ink_do_not_matter(
    strokes: Strokes, scale: float, place: tuple[float, float]
) -> None:
    moved = [(stroke + place) * scale for stroke in strokes]
    assert difference(frame_of(strokes), frame_of(moved)) < 0.005


@given(glyphs.written(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_order_of_strokes_does_not_matter(strokes: Strokes, random: Random) -> None:
    shuffled = list(strokes)
    random.shuffle(shuffled)
    assert difference(frame_of(strokes), frame_of(shuffled)) < 0.001


@given(glyphs.written())
@settings(max_examples=60, deadline=None)
def test_a_stroke_may_be_written_backwards(strokes: Strokes) -> None:
    assert difference(frame_of(strokes), frame_of([stroke[::-1] for stroke in strokes])) < 0.1


@given(glyphs.written())
@settings(max_examples=60, deadline=None)
def test_y_up_flips_the_picture(strokes: Strokes) -> None:
    # The frame has an even number of pixels and its centre on one of them, so it is compared in place.
    turned = np.roll(frame_of(strokes, y_up=True)[::-1], 1, axis=0)
    assert difference(frame_of(strokes), turned) < 0.05


@given(glyphs.written(), st.data())
@settings(max_examples=60, deadline=None)
def test_lifting_the_pen_without_moving_it_changes_little(
    strokes: Strokes, data: st.DataObject
) -> None:
    cuts = data.draw(st.lists(st.integers(1, 38), min_size=1, max_size=6, unique=True).map(sorted))
    ends = zip([0, *cuts], [*cuts, 39], strict=True)
    pieces = [strokes[0][a : b + 1] for a, b in ends]
    assert difference(frame_of(strokes), frame_of([*pieces, *strokes[1:]])) < 0.01


@given(glyphs.written(), st.integers(2, 20))
@settings(max_examples=60, deadline=None)
def test_a_faster_tablet_changes_little(strokes: Strokes, times: int) -> None:
    at = np.linspace(0, 39, 39 * times + 1)
    sampled = [
        np.stack([np.interp(at, np.arange(40), column) for column in stroke.T], axis=1)
        for stroke in strokes
    ]
    assert difference(frame_of(strokes), frame_of(sampled)) < 0.05


@given(glyphs.written(), st.lists(st.integers(0, 39), max_size=20).map(sorted))
@settings(max_examples=60, deadline=None)
def test_repeated_points_change_nothing_that_can_be_seen(
    strokes: Strokes, places: list[int]
) -> None:
    repeated = [np.insert(stroke, places, stroke[places], axis=0) for stroke in strokes]
    assert difference(frame_of(strokes), frame_of(repeated)) < 0.02


@given(glyphs.written(), st.sampled_from([0.3, 1.0, 2.0]))
@settings(max_examples=30, deadline=None)
def test_a_thinner_pen_leaves_less_ink(strokes: Strokes, width: float) -> None:
    assert frame_of(strokes, width=width).sum() < frame_of(strokes).sum()


def test_few_of_a_hundred_thousand_points_are_drawn() -> None:
    random = np.random.default_rng(0)
    scribble = np.cumsum(random.normal(0, 1, (100_000, 2)), axis=0)
    blot = random.uniform(0, 1, (100_000, 2))
    taps = [random.uniform(0, 1, (100, 2)) for _ in range(1000)]
    for strokes in ([scribble], [blot], taps):
        glyph = normalize(strokes, y_up=False)
        assert glyph is not None
        assert len(glyph.strokes) <= MOST_STROKES
        assert sum(map(len, glyph.strokes)) <= MOST_POINTS
        assert rasterize(glyph).any()


@glyphs.needs_data
def test_real_digits_look_like_mnist() -> None:
    frames = np.stack([frame_of(strokes, y_up=True) for _, strokes in glyphs.real(500)])
    # MNIST: mean 0.1307, standard deviation 0.3081.
    assert frames.mean() / 255 == pytest.approx(0.1307, abs=0.01)
    assert frames.std() / 255 == pytest.approx(0.3081, abs=0.01)
    for frame in frames:
        assert centre(frame) == pytest.approx((14, 14), abs=0.5)
        assert 19 <= longest_side(frame) <= 21
        assert not frame[0].any() and not frame[:, 0].any()


@glyphs.needs_data
def test_a_stray_tap_beside_a_real_digit_has_no_effect() -> None:
    for _, strokes in glyphs.real(100):
        points = np.concatenate(strokes)
        corner = points.max(axis=0) + 0.5 * np.ptp(points, axis=0).max()
        tapped = [*strokes, corner[None] + [(0.0, 0.0), (1.0, 0.0)]]
        np.testing.assert_array_equal(frame_of(tapped, y_up=True), frame_of(strokes, y_up=True))


@glyphs.needs_data
def test_a_model_that_never_saw_pen_ink_reads_most_of_it() -> None:
    """A wrong y direction reads 30 %, a wrong aspect 65, centring by box 79 (docs/ink.md)."""
    root = Path(inkstream_server.__file__).parent / "models/digits/1"
    engine = LiteRTEngine(root / "model.tflite")
    labels, inks = zip(*glyphs.real(1000), strict=True)
    frames = np.stack([frame_of(strokes, y_up=True).reshape(-1) for strokes in inks])
    found = np.concatenate([engine.infer([frames[at : at + 250]]) for at in range(0, 1000, 250)])
    assert (found.argmax(axis=1) == np.array(labels)).mean() > 0.92
