"""Writes a model's two files and checks that they agree. `model.keras` is the reference."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from inkstream_server.engines.litert import LiteRTEngine

from inkstream_training.architecture import build_network, logits_of, predict
from inkstream_training.card import ModelFile, Parity
from inkstream_training.quiet import quiet

__all__ = [
    "KERAS_FILE",
    "LITERT_FILE",
    "MAX_DIFFERENCE",
    "ExportError",
    "compare",
    "describe_files",
    "export",
    "infer_litert",
    "load_keras",
]

KERAS_FILE = "model.keras"
LITERT_FILE = "model.tflite"

MAX_DIFFERENCE = 1e-5
"""Largest allowed difference of a probability between the two files."""


class ExportError(RuntimeError):
    """The compiled model differs from the trained one; the message says by how much."""


def export(model: keras.Sequential, folder: Path, images: npt.NDArray[np.uint8]) -> Parity:
    """Write `model.keras` without its optimizer, and `model.tflite`, compiled from that file.

    Both take float32 (n, 28, 28), 0..1, for any n, and give float32 (n, 10).

    Args:
        model: the seed network with the weights to serve.
        folder: folder for the files; made if it is missing.
        images: uint8 (n, 28, 28) on which the two files are compared.

    Raises:
        ExportError: the files disagree.
    """
    folder.mkdir(parents=True, exist_ok=True)
    network = build_network()
    network.set_weights(model.get_weights())
    network.save(folder / KERAS_FILE)
    saved = load_keras(folder / KERAS_FILE)
    (folder / LITERT_FILE).write_bytes(_compile(saved))
    parity = compare(predict(saved, images), infer_litert(folder / LITERT_FILE, images))
    if not (parity.same_answers and parity.max_difference < MAX_DIFFERENCE):  # NaN fails too
        raise ExportError(
            f"{folder / LITERT_FILE}: expected the answers of {KERAS_FILE} within "
            f"{MAX_DIFFERENCE:g}, got a difference of {parity.max_difference:g}; "
            f"the converter of TensorFlow {tf.__version__} does not suit this model"
        )
    return parity


def load_keras(path: Path) -> keras.Sequential:
    """Load `model.keras` without running code from it; raises FileNotFoundError if it is missing."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; export the model again")
    return keras.saving.load_model(path, compile=False, safe_mode=True)


def infer_litert(path: Path, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Give probabilities float32 (n, 10) of `model.tflite`, by the engine that serves it."""
    with quiet():
        engine = LiteRTEngine(path)
    rows = np.ascontiguousarray(images).reshape(len(images), -1)
    starts = range(0, len(rows), engine.max_rows)
    return np.concatenate([engine.infer([rows[at : at + engine.max_rows]]) for at in starts])


def compare(reference: npt.NDArray[Any], compiled: npt.NDArray[Any]) -> Parity:
    """Give the difference of two sets of probabilities (n, 10)."""
    return Parity(
        same_answers=bool(np.array_equal(reference.argmax(axis=1), compiled.argmax(axis=1))),
        max_difference=float(f"{np.abs(reference - compiled).max():.3g}"),
    )


def describe_files(folder: Path) -> dict[str, ModelFile]:
    """Give digest and size of the two files, by name."""
    contents = {name: (folder / name).read_bytes() for name in (KERAS_FILE, LITERT_FILE)}
    return {
        name: ModelFile(hashlib.sha256(content).hexdigest(), len(content))
        for name, content in contents.items()
    }


def _compile(model: keras.Sequential) -> bytes:
    """Convert through a function with a constant reshape.

    Keras' Flatten becomes four operators that compute the batch size at run time, which costs 7 to
    10 % of a batch (measured); a reshape to (-1, 784) is settled once, when memory is allocated.
    """
    module = tf.Module()
    module.weights = [tf.Variable(array) for array in model.get_weights()]

    def digits(image: Any) -> dict[str, Any]:
        return {"probabilities": tf.nn.softmax(logits_of(module.weights, image))}

    image = tf.TensorSpec((None, 28, 28), tf.float32, name="image")
    module.digits = tf.function(digits, input_signature=[image])
    concrete = module.digits.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    with quiet():
        return bytes(converter.convert())
