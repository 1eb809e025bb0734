"""Turns a recipe into a model folder: trains the seeds, calibrates, chooses, exports, writes the card.

All choices use validation images and validation writers. The test images and the test writers are used
once for each finished seed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from inkstream import mnist
from inkstream_server.confidence.rejection import tempered
from inkstream_server.model_store import sample as model_sample

from inkstream_training.architecture import LAYERS, logits_of, predict
from inkstream_training.calibration import (
    fit_temperature,
    fold_temperature,
    least_temperature,
    softmax,
)
from inkstream_training.card import BASELINE, Card, SeedResult, mean_and_sd
from inkstream_training.examples import Examples, gather
from inkstream_training.export import describe_files, export
from inkstream_training.ink import gates, rejection
from inkstream_training.ink.collection import InkParts, InkSet, OnGlyphs, prepare
from inkstream_training.ink.figures import SURE, InkAnswers, InkFigures, measure_ink
from inkstream_training.metrics import Metrics, measure, negative_log_likelihood
from inkstream_training.provenance import data_files, libraries, plain, rounded
from inkstream_training.recipes import Recipe
from inkstream_training.train import Epoch, TrainedSeed, train_seed

__all__ = ["CARD_FILE", "Finished", "finish", "produce", "select"]

CARD_FILE = "card.json"


@dataclass(frozen=True, slots=True)
class Finished:
    """A trained seed, calibrated and tested."""

    run: TrainedSeed
    """The run; the temperature is folded into its model."""

    result: SeedResult
    """Its entry in the card."""

    metrics: Metrics
    """All figures on the test images."""

    reject: rejection.RejectRule | None = None
    """Thresholds, if the recipe has ink."""

    ink: InkFigures | None = None
    """All figures on the test writers, if the recipe has ink."""


def produce(
    recipe: Recipe,
    seeds: Sequence[int],
    folder: Path,
    version: str = "1",
    *,
    mnist_folder: Path | None = None,
    ink_folder: Path | None = None,
    on_epoch: Callable[[int, Epoch], None] = lambda seed, epoch: None,
    on_glyphs: OnGlyphs = lambda drawn: None,
) -> Card:
    """Train every seed and export the chosen one.

    Args:
        recipe: recipe to train.
        seeds: at least one; each is trained from scratch.
        folder: folder for `model.keras`, `model.tflite` and `card.json`.
        version: version for the card.
        mnist_folder: see `inkstream.mnist.load`.
        ink_folder: see `inkstream_training.ink.sources.load`; unused without ink.
        on_epoch: called with the seed after each epoch.
        on_glyphs: called repeatedly with the number of glyphs drawn since the last call.

    Returns: the card that was written.
    """
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds: expected at least one, each once, got {list(seeds)}")
    # Load MNIST first, so that a missing file is found before ink is drawn for minutes.
    images, labels = mnist.load("train", mnist_folder)
    test_images, test_labels = mnist.load("test", mnist_folder)
    ink = None if recipe.ink is None else prepare(recipe.ink, ink_folder, on_glyphs)
    examples = gather(recipe, images, labels, ink)
    finished = []
    for seed in seeds:
        run = train_seed(recipe, examples, seed, on_epoch=partial(on_epoch, seed))
        finished.append(finish(recipe, run, examples, test_images, test_labels, ink))
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
        recipe=plain(dataclasses.asdict(recipe)),
        data=data_files(recipe, ink),
        seed=served.run.seed,
        selection=recipe.selection,
        temperature=served.result.temperature,
        ink_temperature=served.result.ink_temperature,
        metrics=served.metrics,
        seeds=[one.result for one in finished],
        test_accuracy_mean=mean,
        test_accuracy_sd=spread,
        baseline=BASELINE,
        parity=parity,
        history=[rounded(epoch) for epoch in served.run.history],
        files=describe_files(folder),
        libraries=libraries(),
        training_seconds=round(served.run.seconds, 1),
        reject=served.reject,
        splits=None if ink is None else ink.splits,
        ink=served.ink,
        sample=model_sample.record(predict(served.run.model, _sample_images())),
        gates=_gates([one.result for one in finished]),
    )
    card.write(folder / CARD_FILE)
    return card


def finish(
    recipe: Recipe,
    run: TrainedSeed,
    examples: Examples,
    test_images: npt.NDArray[np.uint8],
    test_labels: npt.NDArray[np.uint8],
    ink: InkParts | None = None,
) -> Finished:
    """Fit the temperatures, choose thresholds if there is ink, then test once.

    The temperature of images is folded into the last layer; that of ink goes into the card.
    """
    temperature, ink_temperature, accuracy, nll, rule = 1.0, 1.0, None, None, None
    if len(examples.validation_images):
        labels, images = examples.validation_labels, recipe.validation_examples
        logits = _logits(run, examples.validation_images)
        if recipe.fits_temperature:
            temperature = fit_temperature(logits[:images], labels[:images])
            fold_temperature(run.model, temperature)
            if ink is not None and recipe.ink is not None:
                least = least_temperature(
                    _logits(run, ink.validation.halves), SURE, recipe.ink.halves_sure
                )
                fitted = fit_temperature(logits[images:] / temperature, labels[images:])
                ink_temperature = max(fitted, least)
        probabilities = softmax(logits, temperature)
        probabilities[images:] = softmax(logits[images:], temperature * ink_temperature)
        right = probabilities.argmax(axis=1) == labels
        accuracy = round(float(right.mean()), 6)
        weights = examples.validation_weights
        nll = round(negative_log_likelihood(probabilities, labels, weights), 6)
        if ink is not None:
            rule = rejection.choose(
                {
                    "mnist": (probabilities[:images], labels[:images]),
                    "pen": (probabilities[images:], labels[images:]),
                }
            )
    tested = predict(run.model, test_images)
    metrics = measure(tested, test_labels)
    result = SeedResult(
        run.seed, metrics.accuracy, accuracy, nll, temperature, ink_temperature=ink_temperature
    )
    if ink is None or rule is None:
        return Finished(run, result, metrics)
    answers = answers_to(ink.test, partial(predict, run.model), ink_temperature)
    figures = measure_ink(answers, ink.test, (tested, test_labels), rule)
    result = dataclasses.replace(result, gates=gates.values(metrics, figures))
    return Finished(run, result, metrics, rule, figures)


def answers_to(
    ink: InkSet, infer: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]], scale: float
) -> InkAnswers:
    """Give a server's answers to a set.

    Args:
        ink: set of glyphs.
        infer: gives a model's probabilities (n, 10) of frames (n, 28, 28).
        scale: the card's `ink_temperature`.
    """
    return InkAnswers(
        *(tempered(infer(frames), scale) for frames in (ink.digits, ink.halves, ink.letters))
    )


def select(finished: Sequence[Finished]) -> Finished:
    """Choose the seed with the lowest validation loss, else the first; see `Recipe.selection`."""

    def loss(one: Finished) -> float:
        return 0.0 if one.result.validation_nll is None else one.result.validation_nll

    return min(finished, key=loss)


def _sample_images() -> npt.NDArray[np.uint8]:
    return model_sample.frames().reshape(-1, 28, 28)


def _gates(results: Sequence[SeedResult]) -> dict[str, gates.GateResult] | None:
    measured = [result.gates for result in results if result.gates is not None]
    return gates.check(measured) if measured else None


def _logits(run: TrainedSeed, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    scaled = images.astype(np.float32) / np.float32(255)
    return np.asarray(logits_of(run.model.get_weights(), scaled))
