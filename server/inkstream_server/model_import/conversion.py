"""Converts a `.keras` file for LiteRT. Needs TensorFlow, and runs in the process of `examination` alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from inkstream_server.engines import keras_archive, tflite_file
from inkstream_server.errors import shown
from inkstream_server.model_import.guesses import require_digits
from inkstream_server.model_import.sources import SAVE, SourceError


@dataclass(frozen=True, slots=True)
class Converted:
    """What a Keras network is made of."""

    layers: tuple[str, ...]
    """Its layers in order, with the shape that each one gives."""
    weights: int
    """Number of its weights."""


def convert(source: Path, keras_file: Path, litert_file: Path) -> Converted:
    """Write a network's `model.keras`, without training state, and its `model.tflite`.

    Args:
        source: a plain copy (`sources.read_source`).
        keras_file: where the network is saved again.
        litert_file: where it goes for LiteRT.

    Raises:
        SourceError: Keras cannot load it, it is not a network of digits, or LiteRT has no such operator.
    """
    model = _loaded(source)
    model.save(keras_file)
    try:
        keras_archive.require_plain(keras_file.read_bytes(), keras_file)
        content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    except Exception as error:  # The converter raises many kinds.
        raise SourceError(
            f"TensorFlow {tf.__version__} cannot convert it for LiteRT ({_start_of(error)}): replace the "
            f"layer that it names, and {SAVE}"
        ) from error
    try:
        tflite_file.require_plain(content, litert_file)
    except ValueError as error:
        raise SourceError(
            f"converted for LiteRT, it is more than a plain network ({error}): replace the layer, and {SAVE}"
        ) from error
    litert_file.write_bytes(content)
    return Converted(tuple(_described(model)), int(model.count_params()))


def versions() -> dict[str, str]:
    """Give the versions of what converts."""
    return {"tensorflow": tf.__version__, "keras": keras.__version__}


def _loaded(source: Path) -> Any:
    try:
        model = keras.saving.load_model(source, compile=False, safe_mode=True)
    except MemoryError:
        raise
    except Exception as error:  # Keras raises many kinds for a wrong configuration.
        raise SourceError(
            f"Keras {keras.__version__} cannot load it ({_start_of(error)}): load it where it was made, and "
            f"{SAVE}"
        ) from error
    inputs, outputs = getattr(model, "inputs", None) or [], getattr(model, "outputs", None) or []
    if len(inputs) != 1 or len(outputs) != 1:
        raise SourceError(
            f"expected a network with one input and one output, got {len(inputs)} and {len(outputs)}: build "
            f"it with keras.Input((28, 28)), and {SAVE}"
        )
    require_digits(tuple(inputs[0].shape), tuple(outputs[0].shape))
    return model


def _described(model: Any) -> list[str]:
    """Give the layers of a network, and of those within it, with the shapes that they give."""
    lines = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            lines += _described(layer)
            continue
        try:
            shape = " " + shown(tuple(layer.output.shape[1:]))
        except (AttributeError, ValueError, TypeError):
            shape = ""  # A layer that is used twice.
        lines.append(f"{type(layer).__name__}{shape}")
    return lines


def _start_of(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return shown(f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__)
