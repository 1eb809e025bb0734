"""Fits a temperature and thresholds to a network's answers, in training and for other people's networks.

Temperature scaling after Guo et al., ICML 2017. Pure functions of arrays.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

LOWEST: Final = 0.05
HIGHEST: Final = 20.0
"""Least and most temperature that is fitted."""

KEPT_OF_DIGITS: Final = 0.99
"""Share of validation's pen digits that must not be rejected as "not a digit"."""

UNSURE_ERROR: Final = 0.0075
"""Largest error rate of the answers, on validation's MNIST images and pen digits."""

_GOLDEN: Final = (np.sqrt(5.0) - 1.0) / 2.0


def softmax(logits: Array, temperature: float = 1.0) -> NDArray[np.float64]:
    """Give probabilities float64 (n, 10) of logits (n, 10) divided by `temperature`."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def fit_temperature(logits: Array, labels: Array, weights: Array | None = None) -> float:
    """Find the temperature, 0.05 to 20, with the lowest negative log-likelihood, to four places.

    The likelihood has one minimum in 1/T, so golden-section search on ln T finds it. Above 1
    the model was overconfident, below 1 underconfident.

    Args:
        logits: float (n, 10), of images the model was not trained on.
        labels: integer (n,).
        weights: float (n,), weight of each image; None: all equal.

    Raises:
        ValueError: there are no labels, or not one for each row.
    """
    if len(logits) == 0 or len(logits) != len(labels):
        raise ValueError(
            f"labels: expected one for each row of logits, and at least one, "
            f"got {len(labels)} for {len(logits)} rows"
        )
    weights = np.ones(len(labels)) if weights is None else weights

    def loss(log_temperature: float) -> float:
        return _loss(logits, labels, weights, log_temperature)

    found = minimum(loss, float(np.log(LOWEST)), float(np.log(HIGHEST)), within=1e-5)
    return round(float(np.exp(found)), 4)


def minimum(loss: Callable[[float], float], low: float, high: float, *, within: float) -> float:
    """Find where a function with one minimum between `low` and `high` has it, by golden-section search."""
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    loss_left, loss_right = loss(left), loss(right)
    while high - low > within:
        if loss_left < loss_right:
            high, right, loss_right = right, left, loss_left
            left = high - _GOLDEN * (high - low)
            loss_left = loss(left)
        else:
            low, left, loss_left = left, right, loss_right
            right = low + _GOLDEN * (high - low)
            loss_right = loss(right)
    return (low + high) / 2.0


def threshold_keeping(digits: Array, kept: float) -> float:
    """Find the highest threshold with at least `kept` of the digits at or above it."""
    if not 0.0 < kept <= 1.0:
        raise ValueError(f"kept: expected more than 0 and at most 1, got {kept}")
    # Round before ceil, because 0.07 * 100 is 7.000000000000001.
    needed = int(np.ceil(round(kept * len(digits), 9)))
    return float(np.sort(digits)[len(digits) - needed])


def threshold_of_error(probabilities: Array, labels: Array, error: float) -> float:
    """Find the lowest confidence at and above which at most `error` of the answers are wrong."""
    scores = probabilities.max(axis=1)
    order = np.argsort(-scores, kind="stable")
    wrong = np.cumsum((probabilities.argmax(axis=1) != labels)[order])
    taken = np.arange(1, len(labels) + 1)
    ends_tie = np.append(np.diff(scores[order]) != 0, True)
    good = np.flatnonzero(ends_tie & (wrong <= error * taken))
    return float(scores[order][good[-1]]) if len(good) else 1.0


def _loss(
    logits: Array,
    labels: Array,
    weights: Array,
    log_temperature: float,
) -> float:
    scaled = logits.astype(np.float64) * np.exp(-log_temperature)
    scaled -= scaled.max(axis=1, keepdims=True)
    chosen = scaled[np.arange(len(labels)), labels]
    losses = np.log(np.exp(scaled).sum(axis=1)) - chosen
    return float(np.average(losses, weights=weights))
