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
    "Activation", "Add", "AveragePooling2D", "BatchNormalization", "Conv2D", "Dense", "DepthwiseConv2D",
    "Dropout", "Flatten", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "InputLayer", "MaxPooling2D",
    "ReLU", "Rescaling", "Reshape", "SeparableConv2D", "Softmax", "ZeroPadding2D",
})  # fmt: skip
"""Layers of plain networks for digits. None of them holds code."""

_OTHERS: Final = frozenset({"keras", "keras.initializers", "keras.regularizers"})
"""Modules with classes other than layers: models, dtype policies, initial values."""

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
        ValueError: the file is no archive, is compressed, has other members than those in `MEMBERS`, each
            once, or names a class that is not on the list.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            names = [member.filename for member in members]
            if sorted(names) != sorted(MEMBERS):
                raise ValueError(
                    f"{path}: expected {', '.join(sorted(MEMBERS))}, each once, got {shown(names)}"
                )
            for member in members:
                _require_small(member, path)
            config = json.loads(archive.read("config.json"))
    except _UNREADABLE as error:
        raise ValueError(f"{path}: is no .keras archive ({shown(str(error))})") from error
    for made in _classes(config):
        module, name = str(made.get("module")), made["class_name"]
        is_plain = module in _OTHERS or (module == "keras.layers" and str(name) in LAYERS)
        if not is_plain or made.get("registered_name") not in (None, name):
            raise ValueError(
                f"{path}: {shown(module)}.{shown(name)} is not part of a plain network of digits"
            )


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
