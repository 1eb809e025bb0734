"""Fits one temperature to a model's logits and folds it into the model's last layer.

Temperature scaling after Guo et al., ICML 2017; `least_temperature` bounds it from below. Because the
temperature is in the weights, a server needs no step for it.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt

__all__ = ["fit_temperature", "fold_temperature", "least_temperature", "softmax"]

_LOWEST, _HIGHEST = 0.05, 20.0
_GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0


def softmax(logits: npt.NDArray[Any], temperature: float = 1.0) -> npt.NDArray[np.float64]:
    """Give probabilities float64 (n, 10) of logits (n, 10) divided by `temperature`."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def fit_temperature(
    logits: npt.NDArray[Any], labels: npt.NDArray[Any], weights: npt.NDArray[Any] | None = None
) -> float:
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
    low, high = np.log(_LOWEST), np.log(_HIGHEST)
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    weights = np.ones(len(labels)) if weights is None else weights
    loss_left, loss_right = (_loss(logits, labels, weights, at) for at in (left, right))
    while high - low > 1e-5:
        if loss_left < loss_right:
            high, right, loss_right = right, left, loss_left
            left = high - _GOLDEN * (high - low)
            loss_left = _loss(logits, labels, weights, left)
        else:
            low, left, loss_left = left, right, loss_right
            right = low + _GOLDEN * (high - low)
            loss_right = _loss(logits, labels, weights, right)
    return round(float(np.exp((low + high) / 2.0)), 4)


def least_temperature(logits: npt.NDArray[Any], sure: float, share: float) -> float:
    """Find the lowest temperature, 0.05 to 20, at which few answers are sure, to four places, rounded up.

    Confidence falls as the temperature rises, in every row, so bisection on ln T finds it.

    Args:
        logits: float (n, 10), of images on which the model should not be sure.
        sure: confidence, 0 to 1, above which an answer is sure.
        share: largest share of the rows that may be sure.
    """
    low, high = np.log(_LOWEST), np.log(_HIGHEST)
    while high - low > 1e-6:
        middle = (low + high) / 2.0
        confidences = softmax(logits, float(np.exp(middle))).max(axis=1)
        if np.mean(confidences > sure) > share:
            low = middle
        else:
            high = middle
    return float(np.ceil(np.exp(high) * 1e4) / 1e4)


def fold_temperature(model: keras.Model, temperature: float) -> None:
    """Divide the last dense layer's kernel and bias by `temperature`, in place.

    The order of the ten probabilities does not change, so no answer does.
    """
    if not temperature > 0.0:
        raise ValueError(f"temperature: expected more than 0, got {temperature}")
    layer = model.layers[-1]
    layer.set_weights([weights / np.float32(temperature) for weights in layer.get_weights()])


def _loss(
    logits: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    weights: npt.NDArray[Any],
    log_temperature: float,
) -> float:
    scaled = logits.astype(np.float64) * np.exp(-log_temperature)
    scaled -= scaled.max(axis=1, keepdims=True)
    chosen = scaled[np.arange(len(labels)), labels]
    losses = np.log(np.exp(scaled).sum(axis=1)) - chosen
    return float(np.average(losses, weights=weights))
