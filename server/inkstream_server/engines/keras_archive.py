"""Checks a `.keras` file before Keras loads it: what it unpacks to, and which classes it names."""

import json
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from inkstream_server.errors import shown

MEMBERS: Final = frozenset({"metadata.json", "config.json", "model.weights.h5"})
MOST_BYTES: Final = 64 * 1024 * 1024
"""Most bytes that one member may unpack to; the bundled models take half a megabyte."""

LAYERS: Final = frozenset({
    "Activation", "Add", "AveragePooling2D", "BatchNormalization", "Conv2D", "Dense", "DepthwiseConv2D",
    "Dropout", "Flatten", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "InputLayer", "MaxPooling2D",
    "ReLU", "Rescaling", "Reshape", "SeparableConv2D", "Softmax", "ZeroPadding2D",
})  # fmt: skip
"""Layers of plain networks for digits. None of them holds code."""

_OTHERS: Final = frozenset({"keras", "keras.initializers", "keras.regularizers"})
"""Modules with classes other than layers: models, dtype policies, initial values."""

_UNREADABLE: Final = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, KeyError,
    json.JSONDecodeError, UnicodeDecodeError,
)  # fmt: skip
"""Errors of reading a broken archive. RuntimeError stands for encryption, unknown compression or deep
nesting."""


def require_plain(path: Path) -> None:
    """Refuse an archive that is more than a plain network.

    Raises:
        ValueError: the file is no archive, unpacks to too much, or names a class that is not on the list.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.filename not in MEMBERS or member.file_size > MOST_BYTES:
                    raise ValueError(
                        f"{path}: expected {', '.join(sorted(MEMBERS))} of at most {MOST_BYTES} bytes, "
                        f"got '{shown(member.filename)}' of {member.file_size}"
                    )
            config = json.loads(archive.read("config.json"))
    except _UNREADABLE as error:
        raise ValueError(f"{path}: is no .keras archive ({error})") from error
    for made in _classes(config):
        module, name = made.get("module"), made["class_name"]
        is_plain = name in LAYERS if module == "keras.layers" else module in _OTHERS
        if not is_plain or made.get("registered_name") not in (None, name):
            raise ValueError(
                f"{path}: {shown(module)}.{shown(name)} is not part of a plain network of digits"
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
