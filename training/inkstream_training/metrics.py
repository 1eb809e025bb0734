"""Computes figures of a classifier: accuracy, calibration, coverage. Pure functions of arrays.

Throughout, `probabilities` is float (n, 10) with rows that sum to 1, and `labels` is integer (n,).
The confidence of an answer is the largest probability of its row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "COVERAGE_ERRORS",
    "Metrics",
    "confusion",
    "coverage",
    "expected_calibration_error",
    "measure",
    "negative_log_likelihood",
]

Array = npt.NDArray[Any]

ECE_BINS = 15

COVERAGE_ERRORS = (0.01, 0.005, 0.001)
"""Error rates at which coverage is reported."""

_LEAST_PROBABILITY = 1e-12


@dataclass(frozen=True, slots=True)
class Metrics:
    """Figures of a model on a set of labelled images. Shares are 0 to 1, rounded to 6 places."""

    examples: int
    """Number of images."""

    errors: int
    """Number of wrong answers."""

    accuracy: float
    """Share of right answers."""

    nll: float
    """Mean negative log-likelihood of the right digit, in nats."""

    ece: float
    """Expected calibration error over 15 bins of equal width."""

    coverage: dict[str, float]
    """By error rate ("0.01", "0.005", "0.001"): largest share of answers, most confident first, with at most
    this error rate."""

    per_digit: dict[str, float]
    """Share of right answers for each digit."""


def measure(probabilities: Array, labels: Array) -> Metrics:
    """Compute all figures; `per_digit` leaves out digits without examples."""
    right = _right(probabilities, labels)
    return Metrics(
        examples=len(labels),
        errors=int(np.count_nonzero(~right)),
        accuracy=_rounded(right.mean()),
        nll=_rounded(negative_log_likelihood(probabilities, labels)),
        ece=_rounded(expected_calibration_error(probabilities, labels)),
        coverage={str(e): _rounded(coverage(probabilities, labels, e)) for e in COVERAGE_ERRORS},
        per_digit={
            str(digit): _rounded(right[labels == digit].mean())
            for digit in range(10)
            if np.any(labels == digit)
        },
    )


def negative_log_likelihood(
    probabilities: Array, labels: Array, weights: Array | None = None
) -> float:
    """Compute the mean of -ln p(right digit) in nats; probabilities below 1e-12 count as 1e-12.

    With `weights` (n,) the mean is weighted by them.
    """
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(np.average(-np.log(np.maximum(chosen, _LEAST_PROBABILITY)), weights=weights))


def expected_calibration_error(probabilities: Array, labels: Array, bins: int = ECE_BINS) -> float:
    """Compute the mean distance between confidence and accuracy, weighted by the answers in each bin.

    Bins divide 0..1 into equal widths, open below and closed above, as in Guo et al., "On
    calibration of modern neural networks", ICML 2017.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = _right(probabilities, labels)
    index = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    surplus = np.bincount(index, weights=confidence - right, minlength=bins)
    return float(np.abs(surplus).sum() / len(labels))


def coverage(probabilities: Array, labels: Array, error: float) -> float:
    """Compute the largest share of answers, most confident first, with at most `error` of them wrong.

    Answers of equal confidence count together, because no threshold separates them.
    """
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    wrong = np.cumsum(~_right(probabilities, labels)[order])
    taken = np.arange(1, len(labels) + 1)
    ends_tie = np.append(np.diff(confidence[order]) != 0, True)
    allowed = taken[ends_tie & (wrong <= error * taken)]
    return float(allowed.max(initial=0) / len(labels))


def confusion(probabilities: Array, labels: Array) -> npt.NDArray[np.int64]:
    """Count answers, int64 (10, 10): rows are written digits, columns answers."""
    counts = np.zeros((10, 10), np.int64)
    np.add.at(counts, (labels, probabilities.argmax(axis=1)), 1)
    return counts


def _right(probabilities: Array, labels: Array) -> npt.NDArray[np.bool_]:
    if len(labels) == 0 or probabilities.shape != (len(labels), 10):
        raise ValueError(
            f"probabilities: expected shape ({len(labels)}, 10) and at least one row, "
            f"got {probabilities.shape}"
        )
    return np.asarray(probabilities.argmax(axis=1) == labels)


def _rounded(value: Any) -> float:
    return round(float(value), 6)
