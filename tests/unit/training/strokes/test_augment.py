import numpy as np
import pytest
import tensorflow as tf
from inkstream_server.ink import normalize, trace_of
from inkstream_training.recipes import TraceDistortion
from inkstream_training.strokes.augment import distorted

NONE = TraceDistortion(0.0, 0.0, 0.0, 0.0, 3.0, 0.0)


def distort(traces: np.ndarray, amounts: TraceDistortion, seed: int = 1) -> np.ndarray:
    return np.asarray(distorted(tf.constant(traces), amounts, tf.constant([seed, 0])))


@pytest.fixture(scope="module")
def traces() -> np.ndarray:
    """A wide arc and a bar through it, and a hook."""
    angle = np.linspace(0.5, 5.5, 90)
    arc = np.stack([50 * np.cos(angle), 30 * np.sin(angle)], axis=1)
    bar = np.stack([np.linspace(-30, 30, 20), np.zeros(20)], axis=1)
    inks = [arc, bar], [arc[20:70]]
    glyphs = [normalize(ink, y_up=False) for ink in inks]
    return np.stack([trace_of(glyph) for glyph in glyphs if glyph is not None] * 16)


def test_no_amount_changes_nothing(traces: np.ndarray) -> None:
    np.testing.assert_allclose(distort(traces, NONE), traces, atol=2e-3)


def test_what_is_distorted_is_a_trace_again(traces: np.ndarray) -> None:
    found = distort(traces, TraceDistortion())
    assert found.shape == traces.shape
    place = found[:, :, :2]
    np.testing.assert_allclose(np.abs(place).max(axis=(1, 2)), 1.0, atol=0.02)
    np.testing.assert_allclose(place.max(axis=1) + place.min(axis=1), 0.0, atol=0.02)
    for columns in (slice(2, 4), slice(4, 6)):
        np.testing.assert_allclose(np.linalg.norm(found[:, :, columns], axis=2), 1.0, atol=1e-3)


def test_a_turned_trace_turns_its_directions_and_keeps_its_turns(traces: np.ndarray) -> None:
    found = distort(traces, TraceDistortion(40.0, 0.0, 0.0, 0.0, 3.0, 0.0))
    before, after = (np.arctan2(it[:, :, 3], it[:, :, 2]) for it in (traces, found))
    turned = np.angle(np.exp(1j * (after - before)))
    assert turned.std(axis=1).max() < 0.05
    assert np.abs(turned).max() < np.deg2rad(41)
    assert turned.mean(axis=1).std() > 0.1
    np.testing.assert_allclose(found[:, :, 4:6], traces[:, :, 4:6], atol=0.02)


def test_a_trace_may_be_written_backwards(traces: np.ndarray) -> None:
    found = distort(traces, TraceDistortion(0.0, 0.0, 0.0, 0.0, 3.0, 1.0))
    np.testing.assert_allclose(found[:, ::-1, :2], traces[:, :, :2], atol=2e-3)
    np.testing.assert_allclose(found[:, ::-1, 2:4], -traces[:, :, 2:4], atol=2e-2)
    np.testing.assert_array_equal(found[:, ::-1, 6], traces[:, :, 6])


def test_each_trace_and_each_seed_gets_another_distortion(traces: np.ndarray) -> None:
    once, again, other = (distort(traces, TraceDistortion(), seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(once, again)
    assert np.abs(once - other).max() > 0.05
    assert np.abs(once[0] - once[2]).max() > 0.05, "the same glyph, twice in a batch"


def test_no_ink_stays_finite() -> None:
    assert np.isfinite(distort(np.zeros((2, 64, 7), np.float32), TraceDistortion())).all()
