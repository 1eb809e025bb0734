"""Bounds a model's temperature from below, and folds it into the model's last layer.

Because the temperature is in the weights, a server needs no step for it. The fit itself is in
`inkstream_server.confidence.calibration`.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from inkstream_server.confidence.calibration import (
    HIGHEST,
    LOWEST,
    fit_temperature,
    softmax,
)

__all__ = [
    "fit_temperature",
    "fold_temperature",
    "least_temperature",
    "log_softmax",
    "softmax",
]


def log_softmax(logits: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Give the logarithms of the probabilities of logits (n, 10), float64 (n, 10)."""
    scaled = logits.astype(np.float64)
    scaled -= scaled.max(axis=1, keepdims=True)
    return np.asarray(scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True)))


def least_temperature(logits: npt.NDArray[Any], sure: float, share: float) -> float:
    """Find the lowest temperature, 0.05 to 20, at which few answers are sure, to four places, rounded up.

    Confidence falls as the temperature rises, in every row, so bisection on ln T finds it.

    Args:
        logits: float (n, 10), of images on which the model should not be sure.
        sure: confidence, 0 to 1, above which an answer is sure.
        share: largest share of the rows that may be sure.
    """
    low, high = np.log(LOWEST), np.log(HIGHEST)
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
