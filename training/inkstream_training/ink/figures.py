"""Measures a model on the pen ink of held-out writers. Pure functions of probabilities and `InkSet`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inkstream_training.ink.collection import InkSet
from inkstream_training.ink.rejection import RejectRule, auroc, confidence, false_positive_rate
from inkstream_training.metrics import Metrics, measure

__all__ = [
    "SURE",
    "Answered",
    "HalfInk",
    "InkAnswers",
    "InkFigures",
    "NoDigits",
    "SourceFigures",
    "WriterFigures",
    "answered",
    "flat",
    "measure_ink",
    "no_digits",
]

Array = npt.NDArray[Any]

SURE = 0.99
"""Confidence above which an answer counts as sure."""


@dataclass(frozen=True, slots=True)
class WriterFigures:
    """One held-out writer's digits."""

    examples: int
    """Number of digits."""

    accuracy: float
    """Share of right answers."""


@dataclass(frozen=True, slots=True)
class SourceFigures:
    """One collection's digits."""

    metrics: Metrics
    """Figures over all held-out writers."""

    worst_writer: str
    """Writer with the lowest accuracy; of equals the first by name."""

    worst_accuracy: float
    """Accuracy on that writer's digits."""

    writer_mean: float
    """Mean accuracy over writers; each writer counts once."""

    writer_sd: float
    """Standard deviation of the writers' accuracies."""

    writers: dict[str, WriterFigures]
    """Figures of every held-out writer."""


@dataclass(frozen=True, slots=True)
class NoDigits:
    """How well confidence separates letters and symbols from digits."""

    examples: int
    """Number of letters and symbols."""

    auroc: float
    """Probability that a digit gets a higher confidence than a letter or symbol."""

    fpr95: float
    """Share accepted as digits at the confidence that keeps 95 % of the digits."""

    rejected: float
    """Share rejected, with either reason, at the card's thresholds."""


@dataclass(frozen=True, slots=True)
class HalfInk:
    """Digits at half of their ink."""

    sure: float
    """Share with a confidence above 0.99."""

    rejected: float
    """Share rejected, with either reason, at the card's thresholds."""


@dataclass(frozen=True, slots=True)
class Answered:
    """Effect of the card's thresholds on whole digits."""

    answered: float
    """Share of digits that are not rejected."""

    error: float
    """Share of those answers that are wrong."""

    not_a_digit: float
    """Share rejected as no digit."""

    unsure: float
    """Share rejected as unsure."""


@dataclass(frozen=True, slots=True)
class InkFigures:
    """All figures on the pen ink of held-out writers. Shares are 0 to 1."""

    pen: Metrics
    """Digits of all three collections together."""

    sources: dict[str, SourceFigures]
    """Digits of each collection."""

    no_digits: NoDigits
    """Letters and symbols that do not look like digits."""

    look_alikes: NoDigits
    """Those that look like digits (`negatives.LOOK_ALIKES`); reading them as digits is no fault."""

    half_ink: HalfInk
    """The same digits at half of their ink."""

    mnist_answered: Answered
    """The thresholds on MNIST's test images."""

    pen_answered: Answered
    """The thresholds on pen digits."""


@dataclass(frozen=True, slots=True, eq=False)
class InkAnswers:
    """A model's probabilities (n, 10) for each array of an `InkSet`."""

    digits: Array
    """Probabilities for `InkSet.digits`."""

    halves: Array
    """Probabilities for `InkSet.halves`."""

    letters: Array
    """Probabilities for `InkSet.letters`."""


def measure_ink(
    answers: InkAnswers, ink: InkSet, mnist: tuple[Array, Array], rule: RejectRule
) -> InkFigures:
    """Compute all figures.

    Args:
        answers: answers to `ink`.
        ink: glyphs of held-out writers.
        mnist: probabilities (n, 10) and labels (n,) of MNIST's test images.
        rule: thresholds chosen on validation.
    """
    alike = ink.look_alike
    names = list(dict.fromkeys(ink.sources.tolist()))
    return InkFigures(
        pen=measure(answers.digits, ink.labels),
        sources={name: _source(answers, ink, ink.sources == name) for name in names},
        no_digits=no_digits(answers.digits, answers.letters[~alike], rule),
        look_alikes=no_digits(answers.digits, answers.letters[alike], rule),
        half_ink=HalfInk(
            sure=_share(confidence(answers.halves) > SURE),
            rejected=_share(confidence(answers.halves) < rule.unsure_below),
        ),
        mnist_answered=answered(*mnist, rule),
        pen_answered=answered(answers.digits, ink.labels, rule),
    )


def answered(probabilities: Array, labels: Array, rule: RejectRule) -> Answered:
    """Measure the effect of a rule on digits; `error` is 0 if nothing is answered."""
    scores = confidence(probabilities)
    given = scores >= rule.unsure_below
    wrong = probabilities.argmax(axis=1) != labels
    return Answered(
        answered=_share(given),
        error=_share(wrong[given]) if given.any() else 0.0,
        not_a_digit=_share(scores < rule.not_a_digit_below),
        unsure=_share((scores >= rule.not_a_digit_below) & ~given),
    )


def flat(figures: InkFigures) -> dict[str, Any]:
    """Give every figure by its dotted name, such as `sources.uji.writers.W05.accuracy`."""
    return _flatten(dataclasses.asdict(figures), "")


def _flatten(content: dict[str, Any], prefix: str) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            rows |= _flatten(value, f"{prefix}{key}.")
        else:
            rows[prefix + key] = value
    return rows


def _source(answers: InkAnswers, ink: InkSet, chosen: Array) -> SourceFigures:
    probabilities, labels, writers = answers.digits[chosen], ink.labels[chosen], ink.writers[chosen]
    right = probabilities.argmax(axis=1) == labels
    each = {
        str(writer): WriterFigures(
            int(np.count_nonzero(writers == writer)), _share(right[writers == writer])
        )
        for writer in np.unique(writers)
    }
    worst = min(each, key=lambda writer: each[writer].accuracy)
    accuracies = [one.accuracy for one in each.values()]
    return SourceFigures(
        metrics=measure(probabilities, labels),
        worst_writer=worst,
        worst_accuracy=each[worst].accuracy,
        writer_mean=round(float(np.mean(accuracies)), 6),
        writer_sd=round(float(np.std(accuracies)), 6),
        writers=each,
    )


def no_digits(digits: Array, letters: Array, rule: RejectRule) -> NoDigits:
    """Measure how well confidence separates letters from digits; both are probabilities (n, 10)."""
    inside, outside = confidence(digits), confidence(letters)
    return NoDigits(
        examples=len(letters),
        auroc=round(auroc(inside, outside), 6),
        fpr95=round(false_positive_rate(inside, outside), 6),
        rejected=_share(outside < rule.unsure_below),
    )


def _share(marks: Array) -> float:
    return round(float(np.mean(marks)), 6)
