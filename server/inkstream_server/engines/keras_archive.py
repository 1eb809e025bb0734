"""Checks a `.keras` file before Keras loads it: that it is not compressed, and which classes it names."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from inkstream_server.errors import shown

MEMBERS: Final = frozenset({"metadata.json", "config.json", "model.weights.h5"})
MOST_JSON_BYTES: Final = 1024 * 1024
"""Most bytes of the JSON in an archive; that of the bundled models takes 3 kB."""

LAYERS: Final = frozenset({
    "Activation", "ActivityRegularization", "Add", "AlphaDropout", "Attention", "Average",
    "AveragePooling1D", "AveragePooling2D", "BatchNormalization", "CenterCrop", "Concatenate", "Conv1D",
    "Conv1DTranspose", "Conv2D", "Conv2DTranspose", "Cropping1D", "Cropping2D", "Dense", "DepthwiseConv1D",
    "DepthwiseConv2D", "Dot", "Dropout", "ELU", "Flatten", "GaussianDropout", "GaussianNoise",
    "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalMaxPooling1D", "GlobalMaxPooling2D",
    "GroupNormalization", "Identity", "InputLayer", "LayerNormalization", "LeakyReLU", "MaxPooling1D",
    "MaxPooling2D", "Maximum", "Minimum", "MultiHeadAttention", "Multiply", "Normalization", "PReLU",
    "Permute", "RMSNormalization", "RandomBrightness", "RandomContrast", "RandomElasticTransform",
    "RandomErasing", "RandomFlip", "RandomGaussianBlur", "RandomInvert", "RandomPerspective",
    "RandomRotation", "RandomShear", "RandomTranslation", "RandomZoom", "ReLU", "RepeatVector", "Rescaling",
    "Reshape", "Resizing", "SeparableConv1D", "SeparableConv2D", "Softmax", "SpatialDropout1D",
    "SpatialDropout2D", "SpectralNormalization", "Subtract", "UnitNormalization", "UpSampling1D",
    "UpSampling2D", "ZeroPadding1D", "ZeroPadding2D",
})  # fmt: skip
"""Layers of plain networks for digits. None of them holds code, keeps state between batches or is recurrent;
those for augmentation do nothing when a model answers."""

_ARITHMETIC: Final = frozenset({
    "Absolute", "Add", "Clip", "Concatenate", "Divide", "Exp", "ExpandDims", "GetItem", "Log", "Matmul",
    "Max", "Maximum", "Mean", "Min", "Minimum", "Multiply", "Negative", "Pad", "Power", "Reshape", "Sqrt",
    "Square", "Squeeze", "Stack", "Subtract", "Sum", "Tanh", "Transpose", "TrueDivide",
})  # fmt: skip
_FUNCTIONS: Final = frozenset({
    "Celu", "Elu", "Gelu", "HardSigmoid", "HardSilu", "HardTanh", "LeakyRelu", "LogSigmoid", "LogSoftmax",
    "Normalize", "Relu", "Relu6", "Selu", "Sigmoid", "Silu", "Softmax", "Softplus", "Softsign",
})  # fmt: skip

PLAIN: Final = {
    "keras": frozenset({"DTypePolicy", "Functional", "Model", "Sequential"}),
    "keras.src.models.functional": frozenset({"Functional"}),
    "keras.layers": LAYERS,
    "keras.src.ops.numpy": _ARITHMETIC,
    "keras.src.ops.nn": _FUNCTIONS,
    "None": frozenset({"__keras_tensor__", "__slice__", "__ellipsis__", "__numpy__", "__tensor__"}),
}
"""Classes that an archive may name, by their module: models, layers, arithmetic between the layers of a
functional model, and its arguments."""

_HARMLESS: Final = frozenset({"keras.constraints", "keras.initializers", "keras.regularizers"})
"""Modules of which an archive may name every class: they matter only in training."""

_UNREADABLE: Final = (
    zipfile.BadZipFile, EOFError, OSError, RuntimeError, KeyError, json.JSONDecodeError, UnicodeDecodeError,
)  # fmt: skip
"""Errors of reading a broken archive. RuntimeError stands for encryption or deep nesting."""


def require_plain(content: bytes, path: Path) -> None:
    """Refuse an archive that is more than a plain network.

    Args:
        content: the bytes of the file.
        path: its path, for messages.

    Raises:
        ValueError: as `config_of`, or the archive names a class that is not on the list.
    """
    for made in foreign_classes(config_of(content, path)):
        module, name = shown(str(made.get("module"))), shown(made["class_name"])
        raise ValueError(f"{path}: {module}.{name} is not part of a plain network of digits")


def config_of(content: bytes, path: Path) -> Any:
    """Read the configuration of an archive; see `members_of`."""
    (config,) = members_of(content, path, "config.json")
    return json_of(config, path)


def members_of(content: bytes, path: Path, *names: str) -> list[bytes]:
    """Read members of an archive.

    Args:
        content: the bytes of the file.
        path: its path, for messages.
        names: those to read, of `MEMBERS`.

    Raises:
        ValueError: the file is no archive, is compressed, has other members than those in `MEMBERS`, each
            once, or has too long a configuration.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            found = [member.filename for member in members]
            if sorted(found) != sorted(MEMBERS):
                raise ValueError(
                    f"{path}: expected {', '.join(sorted(MEMBERS))}, each once, got {shown(found)}"
                )
            for member in members:
                _require_small(member, path)
            return [archive.read(name) for name in names]
    except _UNREADABLE as error:
        raise ValueError(f"{path}: is no .keras archive ({shown(str(error))})") from error


def json_of(member: bytes, path: Path) -> Any:
    """Parse a member that is JSON.

    Raises:
        ValueError: it is none, or is nested too deeply.
    """
    try:
        return json.loads(member)
    except _UNREADABLE as error:
        raise ValueError(f"{path}: is no .keras archive ({shown(str(error))})") from error


def foreign_classes(config: object) -> Iterator[dict[str, Any]]:
    """Find everything that Keras would make an object of and that is not on the list, at any depth."""
    for made in _classes(config):
        module, name = str(made.get("module")), made["class_name"]
        is_plain = module in _HARMLESS or str(name) in PLAIN.get(module, ())
        if not is_plain or made.get("registered_name") not in (None, name):
            yield made


def _require_small(member: zipfile.ZipInfo, path: Path) -> None:
    """Refuse a member that unpacks to more than it states, or JSON that is too long."""
    # Keras compresses nothing, and Python unpacks a compressed member beyond its stated size.
    if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
        raise ValueError(f"{path}: {member.filename} is compressed: save the model with Keras")
    if member.filename.endswith(".json") and member.file_size > MOST_JSON_BYTES:
        raise ValueError(
            f"{path}: {member.filename}: expected at most {MOST_JSON_BYTES} bytes, "
            f"got {member.file_size}"
        )


def _classes(config: object) -> Iterator[dict[str, Any]]:
    """Find everything that Keras would make an object of, at any depth."""
    left = [config]
    while left:
        it = left.pop()
        if isinstance(it, dict):
            if "class_name" in it:
                yield it
            left += it.values()
        elif isinstance(it, list):
            left += it
