import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from inkstream_training.augment import (
    RANK,
    Draws,
    augment,
    displacements,
    draw,
    elastic_basis,
    warp,
)
from inkstream_training.recipes import Augmentation

NONE = Augmentation(0.0, 0.0, 0.0, 0.0, 0.0, 5.0)
Floats = npt.NDArray[np.float32]


def blob(n: int = 1) -> Floats:
    """A round spot, brightest on pixel 14 both ways."""
    y, x = np.mgrid[:28, :28]
    spot = np.exp(-((x - 14) ** 2 + (y - 14) ** 2) / 18).astype(np.float32)
    return np.repeat(spot[None], n, axis=0)


def bar() -> Floats:
    image = np.zeros((1, 28, 28), np.float32)
    image[0, 13:16, 4:25] = 1
    return image


def exactly(images: Floats, amounts: Augmentation, **drawn: float) -> Floats:
    """Warp with the named draws at -1..1 and all others at 0."""
    names = ("rotation", "scale_x", "scale_y", "shear", "shift_x", "shift_y")
    affine = np.zeros((len(images), 6), np.float32)
    for name, value in drawn.items():
        affine[:, names.index(name)] = value
    elastic = np.zeros((len(images), 2, RANK, RANK), np.float32)
    return np.asarray(
        warp(tf.constant(images), Draws(tf.constant(affine), tf.constant(elastic)), amounts)
    )


def centre_of_mass(image: Floats) -> tuple[float, float]:
    y, x = np.mgrid[:28, :28]
    return float((image * x).sum() / image.sum()), float((image * y).sum() / image.sum())


def tilt(image: Floats) -> float:
    """Direction of the ink's long axis, degrees, positive where x and y grow together."""
    y, x = np.mgrid[:28, :28].astype(np.float64)
    cx, cy = centre_of_mass(image)
    x, y = x - cx, y - cy
    moments = [(image * a * b).sum() for a, b in ((x, x), (y, y), (x, y))]
    return float(np.rad2deg(0.5 * np.arctan2(2 * moments[2], moments[0] - moments[1])))


def test_amounts_of_zero_do_not_change_images() -> None:
    images = np.random.default_rng(0).random((6, 28, 28), np.float32)
    np.testing.assert_allclose(augment(images, NONE, seed=5), images, atol=1e-6)


def test_bytes_become_floats_from_0_to_1() -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 28, 28), np.uint8)
    np.testing.assert_allclose(augment(images, NONE, 5), images / np.float32(255), atol=1e-6)


@given(x=st.floats(-1, 1, width=32), y=st.floats(-1, 1, width=32))
@settings(max_examples=25, deadline=None)
def test_a_shift_moves_the_centre_of_mass_by_as_much(x: float, y: float) -> None:
    amounts = Augmentation(0.0, 0.0, 0.0, 1.5, 0.0, 5.0)
    moved = exactly(blob(), amounts, shift_x=x, shift_y=y)[0]
    assert centre_of_mass(moved) == pytest.approx((14 + 1.5 * x, 14 + 1.5 * y), abs=0.02)


@pytest.mark.parametrize("drawn", [1.0, -0.5])
def test_a_rotation_tilts_a_bar_by_as_many_degrees(drawn: float) -> None:
    amounts = Augmentation(10.0, 0.0, 0.0, 0.0, 0.0, 5.0)
    assert abs(tilt(exactly(bar(), amounts, rotation=drawn)[0])) == pytest.approx(
        abs(10.0 * drawn), abs=0.3
    )


def test_a_scale_changes_one_axis_by_its_exponential() -> None:
    amounts = Augmentation(0.0, 0.12, 0.0, 0.0, 0.0, 5.0)
    ink = exactly(bar(), amounts, scale_x=1.0)[0].sum() / bar().sum()
    assert ink == pytest.approx(np.exp(-0.12), abs=0.02)
    y = exactly(bar(), amounts, scale_x=1.0)[0].sum(axis=1)
    np.testing.assert_allclose(y[[12, 16]], 0, atol=1e-5)


def test_a_shear_slants_a_bar_and_keeps_its_ink() -> None:
    upright = np.ascontiguousarray(bar().transpose(0, 2, 1))
    amounts = Augmentation(0.0, 0.0, 0.12, 0.0, 0.0, 5.0)
    slanted = exactly(upright, amounts, shear=1.0)[0]
    assert slanted.sum() == pytest.approx(upright.sum(), rel=0.01)
    assert 90 - abs(tilt(slanted)) == pytest.approx(np.rad2deg(np.arctan(0.12)), abs=0.4)


def test_ink_moved_over_the_edge_is_lost_and_no_ink_enters() -> None:
    full = np.ones((1, 28, 28), np.float32)
    moved = exactly(full, Augmentation(0.0, 0.0, 0.0, 5.0, 0.0, 5.0), shift_x=1.0)[0]
    np.testing.assert_allclose(moved[:, :5], 0, atol=1e-5)
    np.testing.assert_allclose(moved[:, 6:], 1, atol=1e-5)


@given(seed=st.integers(0, 2**31 - 2))
@settings(max_examples=10, deadline=None)
def test_distorted_images_stay_between_0_and_1(seed: int) -> None:
    images = np.random.default_rng(0).random((16, 28, 28), np.float32)
    distorted = augment(images, Augmentation(), seed)
    assert distorted.shape == images.shape
    assert distorted.min() >= 0.0
    assert distorted.max() <= 1.0 + 1e-6


def test_a_seed_repeats_and_another_does_not() -> None:
    images = blob(8)
    once = augment(images, Augmentation(), seed=1)
    np.testing.assert_array_equal(once, augment(images, Augmentation(), seed=1))
    assert np.abs(once - augment(images, Augmentation(), seed=2)).max() > 0.1
    assert np.abs(once[0] - once[1]).max() > 0.1


def test_compiled_or_not_the_images_are_the_same() -> None:
    images, amounts = tf.constant(blob(8)), Augmentation()
    draws = draw(8, tf.constant([1, 0]))
    compiled = tf.function(lambda i, d: warp(i, d, amounts), jit_compile=True)(images, draws)
    np.testing.assert_allclose(compiled, warp(images, draws, amounts), atol=2e-4)


def test_elastic_displacement_has_the_size_of_simards_formula() -> None:
    amounts = Augmentation()
    field = np.asarray(displacements(draw(2000, tf.constant([3, 0])).elastic, amounts))
    # Far from the edge: alpha times sqrt(1/3) (uniform noise) times the L2 norm of a 2-D Gaussian.
    expected = 36.0 / np.sqrt(3.0) / (2.0 * np.sqrt(np.pi) * 5.0)
    assert field[:, :, 14, 14].std() == pytest.approx(expected, rel=0.05)
    assert 0.3 < np.hypot(field[:, 0], field[:, 1]).mean() < 2.0
    assert np.abs(field.mean()) < 0.05


def test_elastic_displacement_is_smooth() -> None:
    field = np.asarray(displacements(draw(200, tf.constant([3, 0])).elastic, Augmentation()))
    steps = np.diff(field, axis=3)
    assert steps.std() < 0.3 * field.std()


def test_the_short_basis_equals_the_whole_gaussian() -> None:
    offset = np.arange(28)[:, None] - np.arange(28)[None, :]
    gaussian = np.exp(-0.5 * (offset / 5.0) ** 2) / (5.0 * np.sqrt(2 * np.pi))
    basis = elastic_basis(5.0).astype(np.float64)
    np.testing.assert_allclose(basis @ basis.T, gaussian @ gaussian.T, atol=1e-6)
