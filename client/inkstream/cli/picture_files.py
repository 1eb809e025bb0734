"""Finds the images that files, folders and standard input hold: pictures and numpy's arrays."""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from inkstream import InvalidImage
from inkstream._images.frames import IMAGE_SHAPES
from inkstream.pictures import prepare_with_notes

STDIN = Path("-")
_ARRAY, _ARRAYS = b"\x93NUMPY", b"PK"
"""First bytes of a file with one array, and with several."""


@dataclass(frozen=True, slots=True)
class Images:
    """The images of one picture or of one array."""

    name: str
    """Name of the file, with that of the array if the file holds several; "-" for standard input."""
    images: npt.NDArray[Any]
    """Shape (N, ...), with the shape and dtype of the source; not checked further."""
    is_array: bool = True
    """Whether the images have numbers."""
    notes: list[str] = field(default_factory=list)
    """Steps that prepared a picture."""


def files_in(path: Path) -> list[Path]:
    """List the pictures and arrays directly in a folder, sorted by name; else give the path itself."""
    if not path.is_dir():
        return [path]
    endings = Image.registered_extensions().keys() | {".npy", ".npz"}
    return [it for it in sorted(path.iterdir()) if it.suffix.lower() in endings] or [path]


def read_images(path: Path) -> Iterator[Images]:
    """Read the images of a file, or of standard input for "-".

    Raises:
        InvalidImage: it cannot be read, is neither picture nor array, or holds no image.
    """
    if path == STDIN:
        content = sys.stdin.buffer.read()
        if content.startswith((_ARRAY, _ARRAYS)):
            yield from _arrays(path, io.BytesIO(content))
        else:
            yield _picture(path, content)
    elif path.is_dir():
        raise InvalidImage(f"{path}: the folder holds no picture, .npy or .npz file; give another")
    elif not path.is_file():
        raise InvalidImage(
            f"{path}: no such file; give paths of pictures, .npy or .npz arrays, or folders of them"
        )
    elif path.suffix in (".npy", ".npz"):
        yield from _arrays(path, path)
    else:
        yield _picture(path, path)


def _picture(path: Path, picture: Path | bytes) -> Images:
    image, notes = prepare_with_notes(picture)
    return Images(str(path), image[None], False, notes)


def _arrays(path: Path, source: Path | io.BytesIO) -> Iterator[Images]:
    try:
        loaded = np.load(source, allow_pickle=False)
        named = {"": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InvalidImage(
            f"{path}: cannot be read as an array of numbers; write it with np.save or np.savez"
        ) from error
    for name, array in named.items():
        shown = f"{path}/{name}" if name else str(path)
        if not array.size:
            raise InvalidImage(
                f"{shown}: the array holds no images, its shape is {array.shape}; expected (28, 28) for one "
                "image or (N, 28, 28) for several"
            )
        is_single = array.shape in IMAGE_SHAPES or array.ndim == 0
        yield Images(shown, array[None] if is_single else array)
