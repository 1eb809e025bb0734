"""The network for strokes: four convolutions along the ink, then two dense layers; 106,458 weights.

It has no recurrence, so that a batch of glyphs is a few matrix products, and so that it cannot learn what
follows what beyond one glyph.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from inkstream_server.ink import CHANNELS, POINTS

__all__ = [
    "CONVOLUTIONS",
    "DENSE",
    "LAYERS",
    "build_network",
    "build_served",
    "logits_of",
    "outputs",
]

CONVOLUTIONS: Final = ((48, 5, 1), (64, 5, 2), (80, 3, 2), (96, 3, 2))
"""Each convolution's filters, their width in points, and the step in points."""

DENSE: Final = 64
"""Units of the hidden dense layer."""

_EPSILON: Final = 1e-3
"""Keras' default in batch normalisation."""

_BATCH: Final = 1000
"""Traces that are computed at once where nothing is learnt."""

LAYERS: Final = (
    f"Trace {POINTS}x{CHANNELS}",
    *(f"Conv1D {f} filters of {w}, step {s}, batch norm, ReLU" for f, w, s in CONVOLUTIONS),
    f"Dense {DENSE} ReLU",
    "Dense 10 softmax",
)
"""Descriptions of the layers, for the card."""


def build_network(dropout: float = 0.0) -> keras.Model:
    """Build the network for training: traces float32 (n, 64, 7) to logits float32 (n, 10).

    Its weights come from Keras' random state; to repeat them, call `keras.utils.set_random_seed` first.

    Args:
        dropout: share of the features that are left out at a step of training; 0 for none.
    """
    trace = keras.Input((POINTS, CHANNELS), dtype="float32", name="trace")
    x = trace
    for index, (filters, width, step) in enumerate(CONVOLUTIONS, 1):
        x = keras.layers.Conv1D(
            filters, width, step, padding="same", use_bias=False, name=f"convolution_{index}"
        )(x)
        # A mean over some hundred steps: the weights that are kept are a mean over a thousand.
        x = keras.layers.BatchNormalization(momentum=0.99, name=f"normalised_{index}")(x)
        x = keras.layers.ReLU(name=f"rectified_{index}")(x)
    x = keras.layers.Flatten(name="features")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropped")(x)
    x = keras.layers.Dense(DENSE, activation="relu", name="hidden")(x)
    return keras.Model(trace, keras.layers.Dense(10, name="logits")(x), name="strokes")


def build_served(trained: keras.Model, temperature: float) -> keras.Model:
    """Build the network that is served: probabilities float32 (n, 10), calibrated.

    Args:
        trained: a network of `build_network`.
        temperature: divides its logits; see `calibration.fold_temperature`.
    """
    network = build_network()
    network.set_weights(trained.get_weights())
    last = network.layers[-1]
    last.set_weights([weights / temperature for weights in last.get_weights()])
    probabilities = keras.layers.Softmax(name="probabilities")(network.output)
    return keras.Model(network.input, probabilities, name="strokes")


def logits_of(weights: Sequence[Any], traces: Any) -> Any:
    """Compute the network up to its softmax, as it is compiled: with two-dimensional convolutions.

    LiteRT turns a convolution along one axis into one of two axes and back, which costs 4 % of the network's
    time (31.0 against 29.7 microseconds a glyph, measured); here all steps have two axes.

    Args:
        weights: the network's weights in Keras' order, constants.
        traces: float32 (n, 64, 7).

    Returns: float32 tensor (n, 10).
    """
    left = iter(weights)
    x = tf.reshape(traces, (-1, 1, POINTS, CHANNELS))
    points = POINTS
    for filters, _, step in CONVOLUTIONS:
        kernel, scale, offset, mean, variance = (next(left) for _ in range(5))
        scale = scale / tf.sqrt(variance + _EPSILON)
        x = tf.nn.conv2d(x, kernel[None] * scale, (1, 1, step, 1), "SAME")
        x = tf.nn.relu(x + (offset - mean * scale))
        points //= step
        features = points * filters
    x = tf.reshape(x, (-1, features))
    x = tf.nn.relu(tf.matmul(x, next(left)) + next(left))
    return tf.matmul(x, next(left)) + next(left)


def outputs(network: keras.Model, traces: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Give what a network says of traces (n, 64, 7): logits or probabilities, float32 (n, 10)."""
    starts = range(0, len(traces), _BATCH)
    given = (traces[at : at + _BATCH].astype(np.float32) for at in starts)
    return np.concatenate([np.asarray(network(batch, training=False)) for batch in given])
