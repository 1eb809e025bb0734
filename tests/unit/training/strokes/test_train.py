from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from inkstream_training.ink.collection import Learned
from inkstream_training.recipes import StrokeRecipe, TraceDistortion
from inkstream_training.runs import kept
from inkstream_training.strokes.architecture import outputs
from inkstream_training.strokes.augment import distorted
from inkstream_training.strokes.train import train_strokes
from inkstream_training.train import Epoch, TrainedSeed

STRAIGHT = TraceDistortion(0.0, 0.0, 0.0, 0.0, 3.0, 0.0)
RECIPE = StrokeRecipe(
    epochs=3,
    batch_size=50,
    ema_decay=0.9,
    dropout=0.1,
    distortion=TraceDistortion(slant=0.0, backwards_chance=0.0),
)


def lines(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Ten classes that a network learns quickly: the direction of a line; -1 for a tangle."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % 11 - 1).astype(np.int32)
    angle = labels * (2 * np.pi / 10) + rng.normal(0, 0.05, count)
    way = (
        np.linspace(-1, 1, 64)[None, :, None] * np.stack([np.cos(angle), np.sin(angle)], 1)[:, None]
    )
    way[labels < 0] = rng.uniform(-1, 1, ((labels < 0).sum(), 64, 2))
    traces = np.zeros((count, 64, 7), np.float32)
    traces[:, :, :2] = way
    # As it is computed anew at every step of training.
    return np.asarray(distorted(tf.constant(traces), STRAIGHT, tf.constant([seed, 0]))), labels


def learned(count: int = 1100) -> Learned:
    traces, labels = lines(count, 1)
    return Learned(traces.astype(np.float16), labels, np.ones(count))


@pytest.fixture(scope="module")
def trained() -> TrainedSeed:
    return train_strokes(RECIPE, learned(), 5, validation=lines(110, 2))


def test_it_learns_digits_and_is_unsure_of_the_rest(trained: TrainedSeed) -> None:
    traces, labels = lines(220, 3)
    logits = outputs(trained.model, traces)
    assert (logits.argmax(axis=1) == labels)[labels >= 0].mean() > 0.95
    spread = np.ptp(logits, axis=1)
    assert spread[labels < 0].mean() < 0.5 * spread[labels >= 0].mean()


def test_every_epoch_is_reported(trained: TrainedSeed) -> None:
    assert [epoch.number for epoch in trained.history] == [1, 2, 3]
    assert trained.history[-1].loss < trained.history[0].loss
    assert trained.history[-1].accuracy > 0.9


@pytest.mark.slow
def test_the_same_seed_repeats_a_run_and_another_does_not(trained: TrainedSeed) -> None:
    traces, _ = lines(20, 3)
    again, other = (
        train_strokes(RECIPE, learned(), seed, validation=lines(110, 2)) for seed in (5, 6)
    )
    first = outputs(trained.model, traces)
    np.testing.assert_allclose(outputs(again.model, traces), first, atol=1e-4)
    assert np.abs(outputs(other.model, traces) - first).max() > 0.01


def test_a_kept_run_is_read_and_not_trained_again(trained: TrainedSeed, tmp_path: Path) -> None:
    runs: list[int] = []

    def train() -> TrainedSeed:
        runs.append(1)
        return trained

    def run(recipe: StrokeRecipe) -> TrainedSeed:
        return kept(tmp_path / "runs", "strokes", recipe, 5, train)

    run(RECIPE)
    read = run(RECIPE)
    assert len(runs) == 1
    assert read.history == trained.history
    traces, _ = lines(20, 3)
    np.testing.assert_array_equal(outputs(read.model, traces), outputs(trained.model, traces))
    run(StrokeRecipe(epochs=4))
    assert len(runs) == 2, "another recipe is another run"
    assert isinstance(read.history[0], Epoch)
