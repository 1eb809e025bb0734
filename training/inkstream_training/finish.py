"""Calibrates a trained seed on validation, and then tests it once."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from inkstream_server.confidence.rejection import tempered

from inkstream_training.architecture import logits_of, predict
from inkstream_training.calibration import (
    fit_temperature,
    fold_temperature,
    least_temperature,
    log_softmax,
    softmax,
)
from inkstream_training.card import SeedResult
from inkstream_training.examples import Examples
from inkstream_training.ink import gates, rejection
from inkstream_training.ink.collection import InkParts
from inkstream_training.ink.figures import SURE, InkFigures, NoDigits, measure_ink, no_digits
from inkstream_training.ink.rendering import Drawn
from inkstream_training.letters import Part as LetterImages
from inkstream_training.metrics import Metrics, measure, negative_log_likelihood
from inkstream_training.readers import Reader, answers_to
from inkstream_training.recipes import Recipe
from inkstream_training.strokes.architecture import outputs
from inkstream_training.strokes.pair import PairWeights, fit_pair
from inkstream_training.train import TrainedSeed

__all__ = ["Finished", "Pair", "Tests", "finish", "letter_figures"]


@dataclass(frozen=True, slots=True, eq=False)
class Tests:
    """Images that are used once for each finished seed."""

    images: npt.NDArray[np.uint8]
    """MNIST's test images, uint8 (n, 28, 28)."""

    labels: npt.NDArray[np.uint8]
    """Their labels, (n,)."""

    letters: LetterImages | None = None
    """Images of letters; None if the recipe has none."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The network for strokes of a finished seed, and how it answers beside the network for images."""

    run: TrainedSeed
    """Its run; the model gives logits."""

    temperature: float
    """Temperature fitted to it alone."""

    weights: PairWeights
    """Weights of both networks."""

    image_alone: InkFigures
    """Figures of the network for images alone."""

    strokes_alone: InkFigures
    """Figures of this network alone."""


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
    """All figures on the test writers, if the recipe has ink: of both networks together if there are two."""

    pair: Pair | None = None
    """The network for strokes, if the recipe has one."""

    letters: dict[str, NoDigits] | None = None
    """Figures on images of letters, if the recipe has some; see `Card.letters`."""


def finish(
    recipe: Recipe,
    run: TrainedSeed,
    strokes: TrainedSeed | None,
    examples: Examples,
    tests: Tests,
    ink: InkParts | None = None,
) -> Finished:
    """Fit temperatures and weights, choose thresholds if there is ink, then test once.

    The temperature of images is folded into the last layer; what is fitted for ink goes into the card.

    Args:
        recipe: their recipe.
        run: the network for images.
        strokes: the network for strokes; None without.
        examples: holds the validation images.
        tests: images for the test.
        ink: pen ink; None without.
    """
    if not len(examples.validation_images):
        metrics = measure(predict(run.model, tests.images), tests.labels)
        result = SeedResult(run.seed, metrics.accuracy, None, None, 1.0)
        return Finished(run, result, metrics)
    images = recipe.validation_examples
    labels = examples.validation_labels
    held_out = examples.validation_images[:images]
    temperature = 1.0
    if recipe.fits_temperature:
        temperature = fit_temperature(_logits(run, held_out), labels[:images])
        fold_temperature(run.model, temperature)
    probabilities = softmax(_logits(run, held_out))
    if ink is None or recipe.ink is None:
        metrics = measure(predict(run.model, tests.images), tests.labels)
        return Finished(run, _result(run, metrics, probabilities, labels, temperature), metrics)
    weights = examples.validation_weights
    ink_temperature = _ink_temperature(run, ink, recipe.ink.halves_sure)
    alone = _image_reader(run, ink_temperature)
    reader, second = alone, None
    if strokes is not None:
        second = _fit_strokes(run, strokes, ink, recipe.ink.halves_sure)
        reader = second.together
    pen = reader(ink.validation.digits)
    rule = rejection.choose(
        {
            "mnist": (probabilities, labels[:images]),
            "pen": (pen, ink.validation.labels),
        }
    )
    tested = predict(run.model, tests.images)
    metrics = measure(tested, tests.labels)
    both = np.concatenate([probabilities, pen])
    result = _result(run, metrics, both, labels, temperature, weights)

    def figures(of: Reader) -> InkFigures:
        return measure_ink(answers_to(ink.test, of), ink.test, (tested, tests.labels), rule)

    on_ink, letters = figures(reader), None
    if tests.letters is not None:
        letters = letter_figures(partial(predict, run.model), tests.letters, tested, rule)
    measured = None
    if letters is not None:
        measured = gates.values(metrics, on_ink, letters["no_digits"])
    result = dataclasses.replace(result, ink_temperature=ink_temperature, gates=measured)
    if strokes is None or second is None:
        return Finished(run, result, metrics, rule, on_ink, None, letters)
    pair = Pair(strokes, second.temperature, second.weights, figures(alone), figures(second.alone))
    result = dataclasses.replace(
        result,
        alone={
            "image": gates.of_ink(pair.image_alone),
            "strokes": gates.of_ink(pair.strokes_alone),
        },
        weights=dataclasses.asdict(pair.weights),
    )
    return Finished(run, result, metrics, rule, on_ink, pair, letters)


def letter_figures(
    infer: Any, letters: LetterImages, digits: npt.NDArray[Any], rule: rejection.RejectRule
) -> dict[str, NoDigits]:
    """Measure how well confidence separates images of letters from MNIST's test images.

    Args:
        infer: gives probabilities (n, 10) of images.
        letters: images of letters.
        digits: probabilities (m, 10) of MNIST's test images.
        rule: the model's thresholds.

    Returns: see `Card.letters`.
    """
    answers = infer(letters.images)
    return {
        "no_digits": no_digits(digits, answers[~letters.look_alike], rule),
        "look_alikes": no_digits(digits, answers[letters.look_alike], rule),
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Second:
    """How the network for strokes answers, alone and with the other."""

    temperature: float
    weights: PairWeights
    alone: Reader
    together: Reader


def _fit_strokes(
    run: TrainedSeed, strokes: TrainedSeed, ink: InkParts, halves_sure: float
) -> _Second:
    held_out = ink.validation
    own = outputs(strokes.model, held_out.digits.traces)
    temperature = fit_temperature(own, held_out.labels)

    def logs(of: Drawn) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        second = outputs(strokes.model, of.traces) / np.float32(temperature)
        return log_softmax(_logits(run, of.frames)), log_softmax(second)

    weights = fit_pair(
        logs(held_out.digits),
        held_out.labels,
        np.char.add(held_out.sources, held_out.writers),
        logs(held_out.halves),
        halves_sure,
    )

    def alone(of: Drawn) -> npt.NDArray[Any]:
        # In the precision of an engine, in which a confidence of almost 1 is 1.
        probabilities = softmax(outputs(strokes.model, of.traces), temperature)
        return probabilities.astype(np.float32)

    def together(of: Drawn) -> npt.NDArray[Any]:
        return weights.combine(predict(run.model, of.frames), alone(of))

    return _Second(temperature, weights, alone, together)


def _ink_temperature(run: TrainedSeed, ink: InkParts, halves_sure: float) -> float:
    """Fit the temperature of ink for the network for images alone."""
    held_out = ink.validation
    least = least_temperature(_logits(run, held_out.halves.frames), SURE, halves_sure)
    return max(fit_temperature(_logits(run, held_out.digits.frames), held_out.labels), least)


def _image_reader(run: TrainedSeed, ink_temperature: float) -> Reader:
    return lambda of: tempered(predict(run.model, of.frames), ink_temperature)


def _result(
    run: TrainedSeed,
    metrics: Metrics,
    probabilities: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    temperature: float,
    weights: npt.NDArray[Any] | None = None,
) -> SeedResult:
    right = probabilities.argmax(axis=1) == labels
    nll = negative_log_likelihood(probabilities, labels, weights)
    accuracy = round(float(right.mean()), 6)
    return SeedResult(run.seed, metrics.accuracy, accuracy, round(nll, 6), temperature)


def _logits(run: TrainedSeed, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    scaled = images.astype(np.float32) / np.float32(255)
    return np.asarray(logits_of(run.model.get_weights(), scaled))
