"""Compiles networks of many operators for `tflite_graph`: `python -m tests.fuzz.plain_networks FOLDER`.

A program of its own, since a process that has loaded TensorFlow should not fork.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

NAMES = ("lines", "turns", "attention", "norms", "eight-bits")


def made(name: str) -> Any:
    """Build a network for images of (28, 28)."""
    from keras import Input, Model, layers

    given = Input((28, 28))
    images = layers.Reshape((28, 28, 1))(given)
    match name:
        case "lines":
            body = layers.SeparableConv1D(6, 3)(layers.Conv1D(8, 3, padding="causal")(given))
            body = layers.Conv1DTranspose(6, 3)(
                layers.UpSampling1D(2)(layers.MaxPooling1D(2)(body))
            )
        case "turns":
            body = layers.Conv2DTranspose(4, 3, strides=2)(layers.Conv2D(4, 3, strides=2)(images))
            body = layers.UpSampling2D(2, interpolation="bilinear")(layers.Permute((2, 1, 3))(body))
            body = layers.Resizing(14, 14, interpolation="nearest")(layers.Cropping2D(3)(body))
        case "attention":
            patches = layers.Reshape((49, 16))(images)
            body = layers.Concatenate()(
                [patches, layers.MultiHeadAttention(2, 4)(patches, patches)]
            )
        case "norms":
            body = layers.GroupNormalization(2)(layers.Conv2D(4, 3, dilation_rate=2)(images))
            body = layers.PReLU()(layers.UnitNormalization()(layers.LayerNormalization()(body)))
        case _:
            body = layers.AveragePooling2D(2)(layers.Conv2D(4, 3, activation="relu")(images))
            body = layers.Maximum()([body, layers.DepthwiseConv2D(3, padding="same")(body)])
    return Model(given, layers.Dense(10, activation="softmax")(layers.Flatten()(body)))


def main() -> None:
    import numpy as np
    import tensorflow as tf

    for name in NAMES:
        converter = tf.lite.TFLiteConverter.from_keras_model(made(name))
        if name == "eight-bits":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            images = np.random.default_rng(1).random((20, 1, 28, 28), np.float32)
            converter.representative_dataset = lambda images=images: ([image] for image in images)
            converter.inference_input_type = converter.inference_output_type = tf.int8
        Path(sys.argv[1], f"{name}.tflite").write_bytes(converter.convert())


if __name__ == "__main__":
    main()
