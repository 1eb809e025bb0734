"""What the committed models promise, checked on the real test set."""

from pathlib import Path

import numpy as np
import pytest
from inkstream_training.card import BASELINE, Card
from inkstream_training.evaluate import DEFAULT_MODEL, evaluate
from inkstream_training.export import infer_litert
from inkstream_training.recipes import RECIPES

PLAIN_MODEL = DEFAULT_MODEL.parent.parent / "digits-plain" / "1"
MODELS = [DEFAULT_MODEL, PLAIN_MODEL]


def name(model: Path) -> str:
    return f"{model.parent.name}/{model.name}"


@pytest.mark.parametrize("model", MODELS, ids=name)
def test_a_bundled_model_does_what_its_card_says(model: Path, mnist_test: object) -> None:
    wrong = [figure for figure in evaluate(model).figures if not figure.agrees]
    assert wrong == []


def test_the_default_model_reads_at_least_99_2_percent(
    mnist_test: tuple[np.ndarray, np.ndarray],
) -> None:
    images, labels = mnist_test
    accuracy = (
        infer_litert(DEFAULT_MODEL / "model.tflite", images).argmax(axis=1) == labels
    ).mean()
    assert accuracy >= 0.992
    assert accuracy == pytest.approx(Card.read(DEFAULT_MODEL / "card.json").metrics.accuracy)


@pytest.mark.parametrize("model", MODELS, ids=name)
def test_a_bundled_card_is_whole(model: Path) -> None:
    card = Card.read(model / "card.json")
    recipe = next(r for r in RECIPES.values() if r.model_name == card.name)
    assert name(model) == f"{card.name}/{card.version}"
    assert card.recipe["epochs"] == recipe.epochs == len(card.history)
    assert card.selection == recipe.selection
    assert sorted(one.seed for one in card.seeds) == [1, 2, 3]
    assert card.baseline == BASELINE
    assert card.parameters == 118_282


@pytest.mark.parametrize("model", MODELS, ids=name)
def test_a_bundled_model_is_small(model: Path) -> None:
    assert all(path.stat().st_size < 2_000_000 for path in model.iterdir())
    assert {path.name for path in model.iterdir()} == {"model.keras", "model.tflite", "card.json"}
