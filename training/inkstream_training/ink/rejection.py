"""Chooses when to answer "not a digit" or "unsure", on validation, and measures both.

Pure functions of probabilities. The score of an image is its confidence, the largest of its ten
probabilities: the network learned the uniform distribution for ink of no digit, so its confidence there
is near 0.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from inkstream_server.confidence.calibration import (
    KEPT_OF_DIGITS,
    UNSURE_ERROR,
    threshold_keeping,
    threshold_of_error,
)

__all__ = [
    "KEPT_OF_DIGITS",
    "UNSURE_ERROR",
    "RejectRule",
    "auroc",
    "choose",
    "confidence",
    "false_positive_rate",
]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class RejectRule:
    """When a server answers with a reason instead of a digit; `reject` in `card.json`.

    c is the largest of the ten probabilities; for ink these are calibrated by the card's
    `ink_temperature`:

        c < not_a_digit_below                    NOT_A_DIGIT
        not_a_digit_below <= c < unsure_below    UNSURE
        unsure_below <= c                        the digit

    NO_INK is decided before the model runs.
    """

    not_a_digit_below: float
    """Confidence below which the ink is no digit, 0 to 1."""

    unsure_below: float
    """Confidence below which the answer is too often wrong; at least `not_a_digit_below`."""

    score: str
    """The compared score; always "max_probability"."""

    chosen: str
    """Sentence with the rule and the data by which the thresholds were chosen."""


def confidence(probabilities: Array) -> Array:
    """Give the confidence (n,): the largest probability of each row (n, 10)."""
    return np.asarray(probabilities.max(axis=1))


def auroc(digits: Array, others: Array) -> float:
    """Compute the probability that a digit scores higher than another image; equal scores count half.

    Area under the ROC curve by the rank-sum statistic (Mann & Whitney 1947).

    Args:
        digits: scores (n,) of digits.
        others: scores (m,) of images without a digit.
    """
    _require(digits, others)
    ordered = np.sort(others)
    below = np.searchsorted(ordered, digits, side="left")
    up_to = np.searchsorted(ordered, digits, side="right")
    return float((below + up_to).mean() / (2 * len(others)))


def false_positive_rate(digits: Array, others: Array, kept: float = 0.95) -> float:
    """Compute the share of others above the highest threshold that keeps `kept` of the digits.

    Args:
        digits: scores (n,) of digits.
        others: scores (m,) of images without a digit.
        kept: share of digits at or above the threshold, more than 0 and at most 1.
    """
    _require(digits, others)
    return float((others >= threshold_keeping(digits, kept)).mean())


def choose(sets: dict[str, tuple[Array, Array]], pen: str = "pen") -> RejectRule:
    """Choose both thresholds on validation.

    Args:
        sets: probabilities (n, 10) and labels (n,) of digits, by domain.
        pen: the domain whose digits `not_a_digit_below` must keep `KEPT_OF_DIGITS` of.

    Returns: thresholds rounded down (not a digit) and up (unsure) to 3 places.
    """
    lowest = threshold_keeping(confidence(sets[pen][0]), KEPT_OF_DIGITS)
    not_a_digit = np.floor(lowest * 1000) / 1000
    unsure = max(threshold_of_error(*one, UNSURE_ERROR) for one in sets.values())
    unsure = min(np.ceil(unsure * 1000) / 1000, 1.0)
    return RejectRule(
        not_a_digit_below=float(not_a_digit),
        unsure_below=float(max(unsure, not_a_digit)),
        score="max_probability",
        chosen=(
            f"on validation: not_a_digit_below keeps {KEPT_OF_DIGITS:.0%} of pen digits; "
            f"unsure_below is the lowest with at most {UNSURE_ERROR:.2%} of answers wrong in "
            f"each of {', '.join(sets)}"
        ),
    )


def _require(digits: Array, others: Array) -> None:
    if not len(digits) or not len(others):
        raise ValueError(
            f"digits, others: expected at least one each, got {len(digits)} and {len(others)}"
        )
