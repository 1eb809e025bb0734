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


Tests = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]
"""MNIST's test images, uint8 (n, 28, 28), and their labels, (n,), used once for each finished seed."""


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
        strokes: the network for strokes; None without ink.
        examples: holds the validation images.
        tests: images for the test.
        ink: pen ink and letters; None without.
    """
    temperature = 1.0
    labels = examples.validation_labels[: recipe.validation_examples]
    held_out = examples.validation_images[: recipe.validation_examples]
    if recipe.fits_temperature:
        temperature = fit_temperature(_logits(run, held_out), labels)
        fold_temperature(run.model, temperature)
    probabilities = softmax(_logits(run, held_out))
    if ink is not None and strokes is not None and recipe.ink is not None:
        second = _fit_strokes(run, strokes, ink, recipe.ink.halves_sure)
        pen = second.together(ink.validation.digits)
        chosen = {"mnist": (probabilities, labels), "pen": (pen, ink.validation.labels)}
        rule = rejection.choose(chosen)
        tested = predict(run.model, tests[0])
        metrics = measure(tested, tests[1])
        every = np.concatenate([probabilities, pen]), examples.validation_labels
        result = _result(run, metrics, every, temperature, examples.validation_weights)
        return _test_on_ink(run, strokes, second, ink, (tested, tests[1]), metrics, rule, result)
    metrics = measure(predict(run.model, tests[0]), tests[1])
    return Finished(run, _result(run, metrics, (probabilities, labels), temperature), metrics)


def _test_on_ink(
    run: TrainedSeed,
    strokes: TrainedSeed,
    second: _Second,
    ink: InkParts,
    mnist: tuple[npt.NDArray[Any], npt.NDArray[Any]],
    metrics: Metrics,
    rule: rejection.RejectRule,
    result: SeedResult,
) -> Finished:
    """Test both networks on ink, alone and together, and the one for images on images of letters.

    Args:
        run: the network for images.
        strokes: the network for strokes.
        second: how they answer.
        ink: holds the test writers and the letters.
        mnist: probabilities (n, 10) and labels (n,) of MNIST's test images.
        metrics: figures of those.
        rule: the thresholds.
        result: the seed's entry in the card, without its figures on ink.
    """
    together, image, alone = (
        measure_ink(answers_to(ink.test, read), ink.test, mnist, rule)
        for read in (second.together, second.image, second.alone)
    )
    letters = letter_figures(partial(predict, run.model), ink.letters.test, mnist[0], rule)
    result = dataclasses.replace(
        result,
        ink_temperature=second.ink_temperature,
        gates=gates.values(metrics, together, letters["no_digits"]),
        alone={"image": gates.of_ink(image), "strokes": gates.of_ink(alone)},
        weights=dataclasses.asdict(second.weights),
    )
    pair = Pair(strokes, second.temperature, second.weights, image, alone)
    return Finished(run, result, metrics, rule, together, pair, letters)


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
    """How both networks answer ink, alone and together."""

    ink_temperature: float
    """Temperature of ink for the network for images alone."""

    temperature: float
    """Temperature of the network for strokes alone."""

    weights: PairWeights
    image: Reader
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

    ink_temperature = _ink_temperature(run, ink, halves_sure)

    def image(of: Drawn) -> npt.NDArray[Any]:
        return tempered(predict(run.model, of.frames), ink_temperature)

    return _Second(ink_temperature, temperature, weights, image, alone, together)


def _ink_temperature(run: TrainedSeed, ink: InkParts, halves_sure: float) -> float:
    """Fit the temperature of ink for the network for images alone."""
    held_out = ink.validation
    least = least_temperature(_logits(run, held_out.halves.frames), SURE, halves_sure)
    return max(fit_temperature(_logits(run, held_out.digits.frames), held_out.labels), least)


def _result(
    run: TrainedSeed,
    metrics: Metrics,
    validation: tuple[npt.NDArray[Any], npt.NDArray[Any]],
    temperature: float,
    weights: npt.NDArray[Any] | None = None,
) -> SeedResult:
    """Give the entry in the card; `validation` holds probabilities (n, 10) and labels (n,), or nothing."""
    probabilities, labels = validation
    if not len(labels):
        return SeedResult(run.seed, metrics.accuracy, None, None, temperature)
    right = probabilities.argmax(axis=1) == labels
    nll = negative_log_likelihood(probabilities, labels, weights)
    accuracy = round(float(right.mean()), 6)
    return SeedResult(run.seed, metrics.accuracy, accuracy, round(nll, 6), temperature)


def _logits(run: TrainedSeed, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    scaled = images.astype(np.float32) / np.float32(255)
    return np.asarray(logits_of(run.model.get_weights(), scaled))
