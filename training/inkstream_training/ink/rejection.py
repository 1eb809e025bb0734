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

KEPT_OF_DIGITS = 0.99
"""Share of validation's pen digits that must not be rejected as "not a digit"."""

UNSURE_ERROR = 0.0075
"""Largest error rate of the answers, on validation's MNIST images and pen digits."""


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


def threshold_keeping(digits: Array, kept: float) -> float:
    """Find the highest threshold with at least `kept` of the digits at or above it."""
    if not 0.0 < kept <= 1.0:
        raise ValueError(f"kept: expected more than 0 and at most 1, got {kept}")
    # Round before ceil, because 0.07 * 100 is 7.000000000000001.
    needed = int(np.ceil(round(kept * len(digits), 9)))
    return float(np.sort(digits)[len(digits) - needed])


def choose(sets: dict[str, tuple[Array, Array]], pen: str = "pen") -> RejectRule:
    """Choose both thresholds on validation.

    Args:
        sets: probabilities (n, 10) and labels (n,) of digits, by domain.
        pen: the domain whose digits `not_a_digit_below` must keep `KEPT_OF_DIGITS` of.

    Returns: thresholds rounded down (not a digit) and up (unsure) to 3 places.
    """
    lowest = threshold_keeping(confidence(sets[pen][0]), KEPT_OF_DIGITS)
    not_a_digit = np.floor(lowest * 1000) / 1000
    unsure = max(_threshold_of_error(*one, UNSURE_ERROR) for one in sets.values())
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


def _threshold_of_error(probabilities: Array, labels: Array, error: float) -> float:
    """Find the lowest confidence at and above which at most `error` of the answers are wrong."""
    scores = confidence(probabilities)
    order = np.argsort(-scores, kind="stable")
    wrong = np.cumsum((probabilities.argmax(axis=1) != labels)[order])
    taken = np.arange(1, len(labels) + 1)
    ends_tie = np.append(np.diff(scores[order]) != 0, True)
    good = np.flatnonzero(ends_tie & (wrong <= error * taken))
    return float(scores[order][good[-1]]) if len(good) else 1.0


def _require(digits: Array, others: Array) -> None:
    if not len(digits) or not len(others):
        raise ValueError(
            f"digits, others: expected at least one each, got {len(digits)} and {len(others)}"
        )
