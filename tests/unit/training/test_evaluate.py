import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from inkstream import mnist
from inkstream_training.card import Card
from inkstream_training.evaluate import DEFAULT_MODEL, Figure, evaluate
from inkstream_training.plots import draw_evaluation
from inkstream_training.produce import produce
from inkstream_training.recipes import RECIPES

from .conftest import Files


@pytest.fixture(scope="module")
def trained(
    small_mnist_files: tuple[Path, Files], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder, files = small_mnist_files
    recipe = dataclasses.replace(RECIPES["plain"], epochs=1)
    model = tmp_path_factory.mktemp("trained") / "1"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(mnist, "FILES", files)
        produce(recipe, (1, 2), model, mnist_folder=folder)
    return model


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained model, for a test to change."""
    return Path(shutil.copytree(trained, tmp_path / "m/1"))


def tamper(model: Path, **keys: object) -> None:
    card = json.loads((model / "card.json").read_text())
    (model / "card.json").write_text(json.dumps(card | keys))


def differing(model: Path, folder: Path) -> set[str]:
    return {figure.name for figure in evaluate(model, folder).figures if not figure.agrees}


def test_an_untouched_card_is_repeated_and_a_tampered_one_is_caught(
    model: Path, small_mnist: Path
) -> None:
    assert differing(model, small_mnist) == set()
    card = Card.read(model / "card.json")
    metrics = dataclasses.asdict(card.metrics)
    tamper(model, metrics=metrics | {"accuracy": 0.9999, "ece": metrics["ece"] + 0.001})
    assert differing(model, small_mnist) == {
        "metrics.accuracy",
        "metrics.ece",
        "seeds[1].test_accuracy",
    }


def test_a_mean_that_is_not_the_mean_is_caught(model: Path, small_mnist: Path) -> None:
    tamper(model, test_accuracy_mean=0.9999, temperature=0.5)
    assert differing(model, small_mnist) == {"test_accuracy_mean", "seeds[1].temperature"}


def test_another_model_under_the_card_is_caught(model: Path, small_mnist: Path) -> None:
    for name in ("model.keras", "model.tflite"):
        shutil.copy(DEFAULT_MODEL / name, model / name)
    found = differing(model, small_mnist)
    assert {"files.model.keras.sha256", "files.model.tflite.sha256"} <= found
    assert "metrics.accuracy" in found


def test_a_file_the_card_does_not_name_is_caught(model: Path, small_mnist: Path) -> None:
    tamper(model, files={})
    assert differing(model, small_mnist) == {
        "files.model.keras.sha256",
        "files.model.tflite.sha256",
    }


def test_the_picture_is_written_without_a_display(
    model: Path, small_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    path = draw_evaluation(evaluate(model, small_mnist), tmp_path / "new/plots")
    assert path.name == "digits-plain-1.png"
    assert path.read_bytes().startswith(b"\x89PNG")


def test_the_confusion_adds_up_to_the_errors(model: Path, small_mnist: Path) -> None:
    found = evaluate(model, small_mnist)
    assert found.confusion.sum() == 200
    assert found.confusion.sum() - np.trace(found.confusion) == found.card.metrics.errors
    assert found.to_json()["agrees"] is True
    assert json.loads(json.dumps(found.to_json()))["confusion"] == found.confusion.tolist()


@pytest.mark.parametrize(
    ("figure", "agrees"),
    [
        (Figure("a", 3, 3), True),
        (Figure("a", 3, 4), False),
        (Figure("a", 0.5, 0.50009, 1e-4), True),
        (Figure("a", 0.5, 0.50011, 1e-4), False),
        (Figure("a", None, 0.5, 1e-4), False),
        (Figure("a", None, None), True),
        (Figure("a", float("nan"), 0.5, 1e-4), False),
    ],
)
def test_a_figure_agrees_within_its_tolerance(figure: Figure, agrees: bool) -> None:
    assert figure.agrees is agrees
