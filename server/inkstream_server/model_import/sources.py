"""Tells what a file of a network is, and makes a plain copy of a `.keras` file. Runs nothing from it."""

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from inkstream_server.config import MOST_MODEL_BYTES
from inkstream_server.engines import keras_archive, tflite_file
from inkstream_server.errors import shown
from inkstream_server.process.files import read_regular

SAVE: Final = "save the model again with model.save('model.keras')"
"""What to do after a change of a model."""

_HDF5: Final = b"\x89HDF\r\n\x1a\n"
_ZIP: Final = b"PK\x03\x04"
_PICKLE: Final = b"\x80"

_CONVERT: Final = (
    "convert it where its code is, and add the .tflite file: open('model.tflite', 'wb').write("
    "tf.lite.TFLiteConverter.from_keras_model(model).convert())"
)
_RECURRENT: Final = frozenset({
    "Bidirectional", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "GRU", "GRUCell", "LSTM", "LSTMCell", "RNN",
    "SimpleRNN", "SimpleRNNCell", "StackedRNNCells", "TimeDistributed",
})  # fmt: skip
_FLOATS: Final = frozenset({"bfloat16", "float16", "float64", "mixed_bfloat16", "mixed_float16"})
"""Precisions that a network may have been trained in; it is served in float32."""


class SourceError(Exception):
    """A file cannot become a version; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file that may become a version."""

    format: Literal["keras", "tflite"]
    """What it is."""
    content: bytes
    """For `.tflite` its bytes, and for `.keras` those of its plain copy."""
    about: str
    """What it is, in words, for example "Keras 3.15.1"."""


def read_source(path: Path) -> Source:
    """Read a file, and check all that can be checked without an engine.

    Raises:
        SourceError: it cannot be read, is of another kind, or is more than a plain network.
    """
    if path.is_dir():
        raise SourceError(_of_folder(path))
    try:
        content = read_regular(path, MOST_MODEL_BYTES)
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from error
    try:
        if content[4:8] == tflite_file.IDENTIFIER:
            tflite_file.require_plain(content, path)
            return Source("tflite", content, "LiteRT (.tflite)")
        if content[:4] == _ZIP and (reason := _of_archive(content)) is None:
            return _plain_copy(content, path)
    except ValueError as error:
        raise SourceError(str(error)) from error
    raise SourceError(f"{path} {reason if content[:4] == _ZIP else _of_bytes(content, path)}")


def _plain_copy(content: bytes, path: Path) -> Source:
    """Write an archive anew without training state, in float32 and for batches of any size.

    Raises:
        SourceError: it names a class that is not part of a plain network, or another Keras wrote it.
        ValueError: see `keras_archive.members_of`.
    """
    *described, weights = keras_archive.members_of(
        content, path, "config.json", "metadata.json", "model.weights.h5"
    )
    config, metadata = (keras_archive.json_of(member, path) for member in described)
    if not isinstance(config, dict):
        raise SourceError(f"{path}: config.json: expected a JSON object")
    version = str(metadata.get("keras_version")) if isinstance(metadata, dict) else "?"
    if not version.startswith("3."):
        raise SourceError(
            f"{path} was saved by Keras {shown(version)}, and only Keras 3 is read: {_CONVERT}"
        )
    config.pop("compile_config", None)
    for made in keras_archive.foreign_classes(config):
        raise SourceError(f"{path}: {_of_class(made)}")
    _simplify(config)
    copy = io.BytesIO()
    with zipfile.ZipFile(copy, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", weights)
    return Source("keras", copy.getvalue(), f"Keras {shown(version)}")


def _simplify(config: dict[str, Any]) -> None:
    """Let a network compute in float32, whatever it was trained in, and take batches of any size."""
    for it in _objects(config):
        if it.get("class_name") == "DTypePolicy" and isinstance(it.get("config"), dict):
            it["config"]["name"] = _float32(it["config"].get("name"))
        if it.get("class_name") == "InputLayer" and isinstance(it.get("config"), dict):
            it["config"]["dtype"] = "float32"
        elif "dtype" in it:
            it["dtype"] = _float32(it["dtype"])
        for key in ("batch_shape", "batch_input_shape", "build_input_shape", "input_shape"):
            if isinstance(shape := it.get(key), list) and shape and isinstance(shape[0], int):
                shape[0] = None


def _objects(config: object) -> Iterator[dict[str, Any]]:
    left = [config]
    while left:
        it = left.pop()
        if isinstance(it, dict):
            yield it
            left += it.values()
        elif isinstance(it, list):
            left += it


def _float32(dtype: object) -> object:
    return "float32" if isinstance(dtype, str) and dtype in _FLOATS else dtype


def _of_class(made: dict[str, Any]) -> str:
    """Say why a class is not part of a plain network, and what to do instead."""
    name, config = shown(str(made["class_name"])), made.get("config")
    called = config.get("name") if isinstance(config, dict) else config
    layer = f"layer '{shown(called)}'" if isinstance(called, str) else "a layer"
    if name in ("Lambda", "__lambda__"):
        return (
            f"{layer} is a Lambda, which holds Python code, and no server runs code from a file: replace it "
            f"by layers of Keras (Rescaling, Reshape, Activation …) and {SAVE}"
        )
    if name == "function":
        return (
            f"it names the Python function '{shown(str(called))}', and the file does not hold it: use an "
            f"activation of Keras by its name, such as 'relu', and {SAVE}; or {_CONVERT}"
        )
    if name in _RECURRENT:
        return (
            f"{layer} is recurrent ({name}), and only networks without recurrence are served: use "
            f"convolutions, and {SAVE}"
        )
    if made.get("registered_name") not in (None, made["class_name"]) or not str(
        made.get("module")
    ).startswith("keras"):
        return (
            f"{layer} is of the class {name}, which is not part of Keras: its code is not in the file, and "
            f"no server runs such code; {_CONVERT}"
        )
    return (
        f"{layer} is {shown(str(made['module']))}.{name}, which is not part of a plain network for digits: "
        f"leave it out or replace it, and {SAVE}"
    )


def _of_folder(path: Path) -> str:
    if (path / "saved_model.pb").is_file():
        return (
            f"{path} is a SavedModel. Convert it with TensorFlow and add the .tflite file: "
            f"open('model.tflite', 'wb').write(tf.lite.TFLiteConverter.from_saved_model('{path}').convert())"
        )
    return f"{path} is a folder: expected a .keras or .tflite file"


def _of_archive(content: bytes) -> str | None:
    """Say what an archive is; None if it may be a `.keras` file."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = {member.filename.rpartition("/")[2] for member in archive.infolist()}
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, OSError):
        return None  # `keras_archive.config_of` says what is wrong.
    if "data.pkl" in names:
        return _PYTORCH
    return None if "config.json" in names else "is an archive, but no .keras file"


def _of_bytes(content: bytes, path: Path) -> str:
    if content.startswith(_HDF5):
        return (
            "is an HDF5 file (.h5). If it holds a whole model, load it with Keras 3 and save it again: "
            "keras.models.load_model('model.h5').save('model.keras'). If it holds only weights, build the "
            "model in Python, call model.load_weights(...), then model.save('model.keras')"
        )
    if content[:1] == _PICKLE or path.suffix in (".pt", ".pth"):
        return _PYTORCH
    if path.suffix == ".onnx":
        return (
            "is an ONNX file: convert it with the tool onnx2tf (`onnx2tf -i model.onnx`), and add the "
            ".tflite file that it writes"
        )
    if path.suffix == ".pb":
        return (
            "is a graph of TensorFlow: convert its SavedModel folder, and add the .tflite file: "
            "tf.lite.TFLiteConverter.from_saved_model('folder').convert()"
        )
    return "is neither a .keras file of Keras 3 nor a .tflite file"


_PYTORCH: Final = (
    "is a file of PyTorch, or another pickle, which runs code when it is loaded: convert the model where its "
    "code is with the package litert-torch, litert_torch.convert(model.eval(), (torch.zeros(1, 1, 28, 28),))"
    ".export('model.tflite'), and add the .tflite file"
)
