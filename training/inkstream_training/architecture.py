"""The seed network: Flatten, Dense 128 ReLU, Dense 128 ReLU, Dense 10 softmax; 118,282 weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

__all__ = ["LAYERS", "build_model", "build_network", "logits_of", "predict"]

LAYERS = ("Flatten 28x28 -> 784", "Dense 128 ReLU", "Dense 128 ReLU", "Dense 10 softmax")
"""Descriptions of the layers, for the card."""


def build_network() -> keras.Sequential:
    """Build the seed network without compiling it, so that a saved file holds only its weights.

    Returns: a model of float32 (n, 28, 28), 0..1, ink high, to float32 probabilities (n, 10). Its
        weights come from Keras' random state; to repeat them, call `keras.utils.set_random_seed`
        first.
    """
    return keras.Sequential(
        [
            keras.Input((28, 28), dtype="float32", name="image"),
            keras.layers.Flatten(name="pixels"),
            keras.layers.Dense(128, activation="relu", name="hidden_1"),
            keras.layers.Dense(128, activation="relu", name="hidden_2"),
            keras.layers.Dense(10, activation="softmax", name="probabilities"),
        ],
        name="digits",
    )


def build_model(learning_rate: float = 1e-3) -> keras.Sequential:
    """Build the seed network and compile it: Adam, sparse categorical cross-entropy, accuracy.

    Args:
        learning_rate: Adam's step size.
    """
    model = build_network()
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def logits_of(weights: Sequence[Any], images: Any) -> Any:
    """Compute the network up to its softmax, with weights in Keras' order.

    Training and the fit of the temperature use logits, because they lose no precision where the
    softmax saturates.

    Args:
        weights: kernel and bias of each dense layer: tensors, variables or arrays.
        images: float32 (n, 28, 28), 0..1.

    Returns: float32 tensor (n, 10).
    """
    ops = keras.ops
    hidden = ops.reshape(images, (-1, 784))
    for kernel, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        hidden = ops.relu(ops.matmul(hidden, kernel) + bias)
    return ops.matmul(hidden, weights[-2]) + weights[-1]


def predict(model: keras.Model, images: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Give probabilities float32 (n, 10) for images (n, 28, 28), uint8 0..255 or float32 0..1."""
    if images.dtype == np.uint8:
        images = images.astype(np.float32) / np.float32(255)
    return np.asarray(model.predict(images, batch_size=1000, verbose=0), dtype=np.float32)
