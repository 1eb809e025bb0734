import dataclasses

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inkstream_training.architecture import build_model, predict
from inkstream_training.examples import Examples, gather
from inkstream_training.recipes import RECIPES, Augmentation, InkMixture, Recipe
from inkstream_training.train import Epoch, TrainedSeed, take, train_seed

from .conftest import bars

PLAIN = dataclasses.replace(RECIPES["plain"], epochs=3, batch_size=32)
AUGMENTED = dataclasses.replace(
    RECIPES["augmented"],
    epochs=6,
    batch_size=50,
    ema_decay=0.9,
    validation_examples=100,
    # Bars stand two pixels apart: distort them less than that.
    augmentation=Augmentation(2.0, 0.02, 0.02, 0.4, 4.0, 5.0),
)


def bar_examples(recipe: Recipe) -> Examples:
    return Examples.split(*bars(700, seed=1), recipe.validation_examples)


@dataclasses.dataclass
class Trained:
    recipe: Recipe
    run: TrainedSeed
    reported: tuple[Epoch, ...]
    """The epochs given to `on_epoch`."""


def trained(recipe: Recipe) -> Trained:
    reported: list[Epoch] = []
    run = train_seed(recipe, bar_examples(recipe), seed=1, on_epoch=reported.append)
    return Trained(recipe, run, tuple(reported))


@pytest.fixture(scope="module")
def plain() -> Trained:
    return trained(PLAIN)


@pytest.fixture(scope="module")
def augmented() -> Trained:
    return trained(AUGMENTED)


@pytest.mark.parametrize("fixture", ["plain", "augmented"])
def test_a_recipe_learns(fixture: str, request: pytest.FixtureRequest) -> None:
    recipe, run = (it := request.getfixturevalue(fixture)).recipe, it.run
    images, labels = bars(300, seed=9)
    assert (predict(run.model, images).argmax(axis=1) == labels).mean() > 0.95
    assert run.history[-1].loss < run.history[0].loss
    assert [epoch.number for epoch in run.history] == list(range(1, recipe.epochs + 1))
    assert run.seconds > 0


@pytest.mark.parametrize("recipe", [PLAIN, AUGMENTED], ids=lambda recipe: recipe.name)
def test_a_seed_repeats_its_run_and_another_does_not(recipe: Recipe) -> None:
    recipe = dataclasses.replace(recipe, epochs=1)
    once, again, other = (
        train_seed(recipe, bar_examples(recipe), seed).model.get_weights()[0] for seed in (1, 1, 2)
    )
    np.testing.assert_allclose(once, again, atol=1e-6)
    assert np.abs(once - other).max() > 1e-3


def test_every_epoch_is_reported_as_it_ends(augmented: Trained) -> None:
    assert augmented.reported == augmented.run.history
    assert all(epoch.validation_accuracy is not None for epoch in augmented.reported)


def test_plain_trains_on_every_image_and_holds_none_out(plain: Trained) -> None:
    assert all(epoch.validation_accuracy is None for epoch in plain.run.history)
    steps = PLAIN.epochs * int(np.ceil(700 / PLAIN.batch_size))
    assert int(plain.run.model.optimizer.iterations) == steps


def test_the_mean_of_the_weights_is_kept_instead_of_the_last_weights() -> None:
    # A mean that never moves keeps the initial weights.
    still = dataclasses.replace(AUGMENTED, epochs=1, ema_decay=1.0)
    kept = train_seed(still, bar_examples(still), seed=1).model.get_weights()
    keras.utils.set_random_seed(1)
    for mean, first in zip(kept, build_model(still.learning_rate).get_weights(), strict=True):
        np.testing.assert_allclose(mean, first, atol=1e-6)


def test_negatives_lower_the_confidence_of_similar_images_by_their_weight() -> None:
    images, labels = bars(700, seed=1)
    half_none = labels.astype(np.int32)
    half_none[np.flatnonzero(labels == 7)[::2]] = -1
    examples = Examples.split(images, half_none, 100)

    def confidence(weight: float) -> float:
        recipe = dataclasses.replace(AUGMENTED, epochs=12, ink=InkMixture(none_weight=weight))
        run = train_seed(recipe, examples, seed=1)
        return float(np.median(predict(run.model, images[labels == 7])[:, 7]))

    assert confidence(0.0) > 0.9
    assert confidence(1.0) < 0.75


@given(st.lists(st.floats(0, 4), min_size=1, max_size=30), st.integers(0, 1000))
def test_an_epoch_contains_each_image_as_often_as_its_share(shares: list[float], seed: int) -> None:
    taken = np.bincount(take(np.array(shares), np.random.default_rng(seed)), minlength=len(shares))
    assert (np.abs(taken - shares) < 1 + 1e-9).all()
    assert abs(taken.sum() - sum(shares)) < 1 + 1e-9


def test_shares_of_less_than_one_are_kept_over_epochs() -> None:
    rng = np.random.default_rng(1)
    taken = np.bincount(np.concatenate([take(np.full(24, 1 / 3), rng) for _ in range(3000)]))
    np.testing.assert_allclose(taken, 1000, rtol=0.2)


def test_images_without_a_share_are_not_trained_on() -> None:
    examples = bar_examples(AUGMENTED)
    shares = np.where(examples.labels == 7, 0.0, 1.0)
    run = train_seed(AUGMENTED, dataclasses.replace(examples, shares=shares), seed=1)
    images, labels = bars(300, seed=9)
    answers = predict(run.model, images).argmax(axis=1)
    assert (answers[labels == 7] != 7).all()
    assert (answers[labels != 7] == labels[labels != 7]).mean() > 0.95


def test_images_of_strength_zero_are_not_augmented() -> None:
    wild = dataclasses.replace(AUGMENTED, augmentation=Augmentation(shift_px=20.0))
    examples = bar_examples(wild)
    still = dataclasses.replace(examples, strengths=np.zeros(len(examples.labels), np.float32))
    images, labels = bars(300, seed=9)

    def accuracy(of: Examples) -> float:
        run = train_seed(wild, of, seed=1)
        return float((predict(run.model, images).argmax(axis=1) == labels).mean())

    assert accuracy(still) > 0.95 > accuracy(examples)


def test_held_out_images_are_the_end_of_the_file_and_not_trained_on() -> None:
    images, labels = bars(1200, seed=1)
    examples = gather(dataclasses.replace(AUGMENTED, validation_examples=200), images, labels)
    np.testing.assert_array_equal(examples.images, images[:1000])
    np.testing.assert_array_equal(examples.validation_images, images[1000:])
    np.testing.assert_array_equal(examples.validation_labels, labels[1000:])


@pytest.mark.parametrize("held_out", [-1, 10, 11])
def test_holding_out_everything_is_refused(held_out: int) -> None:
    with pytest.raises(ValueError, match="held_out: expected 0 to 9"):
        Examples.split(*bars(10, seed=1), held_out)


def test_labels_that_do_not_match_are_refused() -> None:
    images, labels = bars(10, seed=1)
    with pytest.raises(ValueError, match="one for each image"):
        Examples.split(images, labels[:9], 1)


def test_a_running_mean_without_augmentation_is_refused() -> None:
    wrong = dataclasses.replace(PLAIN, ema_decay=0.9)
    with pytest.raises(ValueError, match=r"ema_decay=0\.9"):
        train_seed(wrong, bar_examples(wrong), seed=1)
