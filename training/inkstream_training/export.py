"""Writes the two files of each network and checks that they agree. The one of Keras is the reference."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from inkstream_server.engines.form import IMAGES, TRACES, Form
from inkstream_server.engines.litert import LiteRTEngine

from inkstream_training.architecture import build_network, logits_of, predict
from inkstream_training.card import ModelFile, Parity
from inkstream_training.quiet import quiet
from inkstream_training.strokes import architecture as strokes

__all__ = [
    "KERAS_FILE",
    "LITERT_FILE",
    "MAX_DIFFERENCE",
    "STROKES_KERAS_FILE",
    "STROKES_LITERT_FILE",
    "ExportError",
    "compare",
    "describe_files",
    "export",
    "export_strokes",
    "infer_litert",
    "infer_strokes",
    "load_keras",
]

KERAS_FILE = "model.keras"
LITERT_FILE = "model.tflite"
STROKES_KERAS_FILE = "strokes.keras"
STROKES_LITERT_FILE = "strokes.tflite"

MAX_DIFFERENCE = 1e-5
"""Largest allowed difference of a probability between the two files."""


class ExportError(RuntimeError):
    """The compiled model differs from the trained one; the message says by how much."""


def export(model: keras.Model, folder: Path, images: npt.NDArray[np.uint8]) -> Parity:
    """Write `model.keras` without its optimizer, and `model.tflite`, compiled from that file.

    Both take float32 (n, 28, 28), 0..1, for any n, and give float32 (n, 10).

    Args:
        model: the seed network with the weights to serve.
        folder: folder for the files; made if it is missing.
        images: uint8 (n, 28, 28) on which the two files are compared.

    Raises:
        ExportError: the files disagree.
    """
    network = build_network()
    network.set_weights(model.get_weights())
    saved = _save(network, folder / KERAS_FILE)
    # Keras' Flatten becomes four operators that compute the batch size at run time, which costs 7 to
    # 10 % of a batch (measured); a reshape to (-1, 784) is settled once, when memory is allocated.
    (folder / LITERT_FILE).write_bytes(_compile(saved, logits_of, (28, 28), "image"))
    compiled = infer_litert(folder / LITERT_FILE, images)
    return _agreed(folder / LITERT_FILE, predict(saved, images), compiled)


def export_strokes(
    trained: keras.Model, temperature: float, folder: Path, traces: npt.NDArray[np.float32]
) -> Parity:
    """Write `strokes.keras`, and `strokes.tflite`, compiled from that file.

    Both take float32 (n, 64, 7) for any n, and give float32 (n, 10).

    Args:
        trained: a network of `strokes.architecture.build_network`.
        temperature: divides its logits.
        folder: folder for the files; made if it is missing.
        traces: float32 (n, 64, 7) on which the two files are compared.

    Raises:
        ExportError: the files disagree.
    """
    saved = _save(strokes.build_served(trained, temperature), folder / STROKES_KERAS_FILE)
    content = _compile(saved, strokes.logits_of, traces.shape[1:], "trace")
    (folder / STROKES_LITERT_FILE).write_bytes(content)
    reference = strokes.outputs(saved, traces)
    compiled = infer_strokes(folder / STROKES_LITERT_FILE, traces)
    return _agreed(folder / STROKES_LITERT_FILE, reference, compiled)


def load_keras(path: Path) -> keras.Model:
    """Load a `.keras` file without running code from it; raises FileNotFoundError if it is missing."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; export the model again")
    return keras.saving.load_model(path, compile=False, safe_mode=True)


def infer_litert(path: Path, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Give probabilities float32 (n, 10) of `model.tflite`, by the engine that serves it."""
    return _infer(path, images, IMAGES)


def infer_strokes(path: Path, traces: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Give probabilities float32 (n, 10) of `strokes.tflite` to traces (n, 64, 7), by its engine."""
    return _infer(path, traces, TRACES)


def compare(reference: npt.NDArray[Any], compiled: npt.NDArray[Any]) -> Parity:
    """Give the difference of two sets of probabilities (n, 10)."""
    return Parity(
        same_answers=bool(np.array_equal(reference.argmax(axis=1), compiled.argmax(axis=1))),
        max_difference=float(f"{np.abs(reference - compiled).max():.3g}"),
    )


def describe_files(folder: Path) -> dict[str, ModelFile]:
    """Give digest and size of the files of a version's networks, by name; strokes if there are some."""
    names = [KERAS_FILE, LITERT_FILE]
    if (folder / STROKES_KERAS_FILE).exists():
        names += [STROKES_KERAS_FILE, STROKES_LITERT_FILE]
    contents = {name: (folder / name).read_bytes() for name in names}
    return {
        name: ModelFile(hashlib.sha256(content).hexdigest(), len(content))
        for name, content in contents.items()
    }


def _save(network: keras.Model, path: Path) -> keras.Model:
    """Save a network, and load it as a server would."""
    path.parent.mkdir(parents=True, exist_ok=True)
    network.save(path)
    return load_keras(path)


def _agreed(path: Path, reference: npt.NDArray[Any], compiled: npt.NDArray[Any]) -> Parity:
    """Give the difference of a compiled file.

    Raises:
        ExportError: it is too large.
    """
    parity = compare(reference, compiled)
    if not (parity.same_answers and parity.max_difference < MAX_DIFFERENCE):  # NaN fails too
        raise ExportError(
            f"{path}: expected the answers of {path.with_suffix('.keras').name} within "
            f"{MAX_DIFFERENCE:g}, got a difference of {parity.max_difference:g}; "
            f"the converter of TensorFlow {tf.__version__} does not suit this model"
        )
    return parity


def _infer(path: Path, inputs: npt.NDArray[Any], form: Form) -> npt.NDArray[np.float32]:
    with quiet():
        engine = LiteRTEngine(path, form=form)
    rows = np.ascontiguousarray(inputs).reshape(len(inputs), -1)
    starts = range(0, len(rows), engine.max_rows)
    return np.concatenate([engine.infer([rows[at : at + engine.max_rows]]) for at in starts])


def _compile(
    model: keras.Model, logits_of: Callable[[Any, Any], Any], shape: tuple[int, ...], name: str
) -> bytes:
    """Convert through a function of constant weights, which settles shapes before a batch comes.

    Args:
        model: holds the weights.
        logits_of: computes logits from the weights in Keras' order, and from inputs.
        shape: of an input.
        name: of the input.
    """
    module = tf.Module()
    module.weights = [tf.Variable(array) for array in model.get_weights()]

    def digits(given: Any) -> dict[str, Any]:
        return {"probabilities": tf.nn.softmax(logits_of(module.weights, given))}

    spec = tf.TensorSpec((None, *shape), tf.float32, name=name)
    module.digits = tf.function(digits, input_signature=[spec])
    concrete = module.digits.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    with quiet():
        return bytes(converter.convert())
