"""Checks the bounds for a model for ink, on the mean of its seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inkstream_training.ink.figures import InkFigures, NoDigits
from inkstream_training.metrics import Metrics

__all__ = ["GATES", "Bound", "GateResult", "check", "of_ink", "values"]


@dataclass(frozen=True, slots=True)
class Bound:
    """Bound of a figure."""

    limit: float
    """The bound; a share, 0 to 1."""

    at_least: bool
    """Whether it is a lower bound."""

    def holds(self, value: float) -> bool:
        """Whether a figure is within the bound."""
        return value >= self.limit if self.at_least else value <= self.limit


GATES: dict[str, Bound] = {
    "mnist_accuracy": Bound(0.993, at_least=True),
    "pendigits_accuracy": Bound(0.996, at_least=True),
    "pendigits_worst_writer": Bound(0.985, at_least=True),
    "unipen_accuracy": Bound(0.973, at_least=True),
    "uji_accuracy": Bound(0.99, at_least=True),
    "mnist_ece": Bound(0.004, at_least=False),
    "pen_ece": Bound(0.006, at_least=False),
    "no_digits_auroc": Bound(0.985, at_least=True),
    "no_digits_fpr95": Bound(0.08, at_least=False),
    "half_ink_sure": Bound(0.03, at_least=False),
    "letter_images_auroc": Bound(0.98, at_least=True),
    "letter_images_fpr95": Bound(0.10, at_least=False),
}
"""Bounds of the means over seeds, by figure."""


@dataclass(frozen=True, slots=True)
class GateResult:
    """A figure in the card beside its bound."""

    limit: float
    """The bound."""

    at_least: bool
    """Whether it is a lower bound."""

    mean: float
    """Mean over the seeds."""

    holds: bool
    """Whether the mean is within the bound."""

    seeds: list[float]
    """Each seed's figure, in the order of `seeds`."""


def of_ink(ink: InkFigures) -> dict[str, float]:
    """Give the figures on ink that have a bound."""
    return {
        "pendigits_accuracy": ink.sources["pendigits"].metrics.accuracy,
        "pendigits_worst_writer": ink.sources["pendigits"].worst_accuracy,
        "unipen_accuracy": ink.sources["unipen"].metrics.accuracy,
        "uji_accuracy": ink.sources["uji"].metrics.accuracy,
        "pen_ece": ink.pen.ece,
        "no_digits_auroc": ink.no_digits.auroc,
        "no_digits_fpr95": ink.no_digits.fpr95,
        "half_ink_sure": ink.half_ink.sure,
    }


def values(mnist: Metrics, ink: InkFigures, letters: NoDigits) -> dict[str, float]:
    """Give a model's figure for each bound.

    Args:
        mnist: on MNIST's test images.
        ink: on held-out writers' ink.
        letters: on images of letters that do not look like digits.
    """
    return {
        "mnist_accuracy": mnist.accuracy,
        "mnist_ece": mnist.ece,
        **of_ink(ink),
        "letter_images_auroc": letters.auroc,
        "letter_images_fpr95": letters.fpr95,
    }


def check(seeds: Sequence[dict[str, float]]) -> dict[str, GateResult]:
    """Compare the mean of the seeds with every bound.

    Args:
        seeds: the result of `values` for each seed, at least one.
    """
    results = {}
    for name, bound in GATES.items():
        each = [seed[name] for seed in seeds]
        # Round like the figures, so that a mean of 0.1 and 0.2 does not fail a bound of 0.15.
        mean = round(sum(each) / len(each), 6)
        results[name] = GateResult(bound.limit, bound.at_least, mean, bound.holds(mean), each)
    return results
