"""From a recipe to a model folder: train the seeds, calibrate, choose, export, write the card.

All choices are made on held-out training images. The test set is looked at once a finished seed.
"""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from inkstream import mnist

from inkstream_training.architecture import LAYERS, logits_of, predict
from inkstream_training.calibration import fit_temperature, fold_temperature, softmax
from inkstream_training.card import BASELINE, Card, DataFile, SeedResult, mean_and_sd
from inkstream_training.examples import Examples, gather
from inkstream_training.export import describe_files, export
from inkstream_training.metrics import Metrics, measure, negative_log_likelihood
from inkstream_training.recipes import Recipe
from inkstream_training.train import Epoch, TrainedSeed, train_seed

__all__ = ["CARD_FILE", "Finished", "finish", "produce", "select"]

CARD_FILE = "card.json"


@dataclass(frozen=True, slots=True)
class Finished:
    """A trained seed, calibrated and tested."""

    run: TrainedSeed
    """The run; its model has the temperature folded in."""

    result: SeedResult
    """Its line of the card."""

    metrics: Metrics
    """All figures on the test images."""


def produce(
    recipe: Recipe,
    seeds: Sequence[int],
    folder: Path,
    version: str = "1",
    *,
    mnist_folder: Path | None = None,
    on_epoch: Callable[[int, Epoch], None] = lambda seed, epoch: None,
) -> Card:
    """Train every seed and export the chosen one.

    Args:
        recipe: what to do.
        seeds: at least one, each trained from scratch.
        folder: `model.keras`, `model.tflite` and `card.json` are written here.
        version: goes into the card.
        mnist_folder: see `inkstream.mnist.load`.
        on_epoch: called with the seed after each epoch.

    Returns: the card that was written.
    """
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds: expected at least one, each once, got {list(seeds)}")
    examples = gather(recipe, mnist_folder)
    test_images, test_labels = mnist.load("test", mnist_folder)
    finished = []
    for seed in seeds:
        run = train_seed(recipe, examples, seed, on_epoch=partial(on_epoch, seed))
        finished.append(finish(recipe, run, examples, test_images, test_labels))
    served = select(finished)
    parity = export(served.run.model, folder, test_images)
    mean, spread = mean_and_sd([one.result.test_accuracy for one in finished])
    card = Card(
        name=recipe.model_name,
        version=version,
        description=recipe.description,
        created=datetime.now(UTC).date().isoformat(),
        architecture=list(LAYERS),
        parameters=int(served.run.model.count_params()),
        recipe=_plain(dataclasses.asdict(recipe)),
        data=_data_files(recipe),
        seed=served.run.seed,
        selection=recipe.selection,
        temperature=served.result.temperature,
        metrics=served.metrics,
        seeds=[one.result for one in finished],
        test_accuracy_mean=mean,
        test_accuracy_sd=spread,
        baseline=BASELINE,
        parity=parity,
        history=[_rounded(epoch) for epoch in served.run.history],
        files=describe_files(folder),
        libraries=_libraries(),
        training_seconds=round(served.run.seconds, 1),
    )
    card.write(folder / CARD_FILE)
    return card


def finish(
    recipe: Recipe,
    run: TrainedSeed,
    examples: Examples,
    test_images: npt.NDArray[np.uint8],
    test_labels: npt.NDArray[np.uint8],
) -> Finished:
    """Fit and fold in the temperature where the recipe has one, then test, once."""
    temperature, accuracy, nll = 1.0, None, None
    if len(examples.validation_images):
        images = examples.validation_images.astype(np.float32) / np.float32(255)
        logits = np.asarray(logits_of(run.model.get_weights(), images))
        if recipe.fits_temperature:
            temperature = fit_temperature(logits, examples.validation_labels)
            fold_temperature(run.model, temperature)
        probabilities = softmax(logits, temperature)
        right = probabilities.argmax(axis=1) == examples.validation_labels
        accuracy = round(float(right.mean()), 6)
        nll = round(negative_log_likelihood(probabilities, examples.validation_labels), 6)
    metrics = measure(predict(run.model, test_images), test_labels)
    result = SeedResult(run.seed, metrics.accuracy, accuracy, nll, temperature)
    return Finished(run, result, metrics)


def select(finished: Sequence[Finished]) -> Finished:
    """The lowest likelihood loss on the held-out images, else the first. See `Recipe.selection`."""

    def loss(one: Finished) -> float:
        return 0.0 if one.result.validation_nll is None else one.result.validation_nll

    return min(finished, key=loss)


def _data_files(recipe: Recipe) -> list[DataFile]:
    held_out = recipe.validation_examples
    learned = "training" if not held_out else f"training; the last {held_out:,} are validation"
    return [
        DataFile(file.name, file.sha256, file.shape[0], use)
        for files, use in ((mnist.FILES["train"], learned), (mnist.FILES["test"], "test"))
        for file in files
    ]


def _rounded(epoch: Epoch) -> Epoch:
    held = epoch.validation_accuracy
    return Epoch(
        epoch.number,
        round(epoch.loss, 4),
        round(epoch.accuracy, 4),
        None if held is None else round(held, 4),
    )


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Tuples as lists, so that a card read back equals the one written."""
    return {
        key: list(value) if isinstance(value, tuple) else value for key, value in values.items()
    }


def _libraries() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "tensorflow": str(tf.__version__),
        "keras": str(keras.__version__),
        "numpy": str(np.__version__),
    }
