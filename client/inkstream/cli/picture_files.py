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
"""How one array and how several begin."""


@dataclass(frozen=True, slots=True)
class Images:
    """The images of one picture or of one array."""

    name: str
    """The file's, with the array's where it holds several; "-" for standard input."""
    images: npt.NDArray[Any]
    """Shape (N, ...), whatever the array was; not checked further."""
    is_array: bool = True
    """Whether an image needs a number, too, to be told from the others."""
    notes: list[str] = field(default_factory=list)
    """What was done to a picture."""


def files_in(path: Path) -> list[Path]:
    """The pictures and arrays of a folder, by name and not of folders in it; anything else as it is.

    Raises:
        InvalidImage: the folder holds none.
    """
    if not path.is_dir():
        return [path]
    endings = Image.registered_extensions().keys() | {".npy", ".npz"}
    files = [each for each in sorted(path.iterdir()) if each.suffix.lower() in endings]
    if not files:
        raise InvalidImage(f"{path}: a folder without pictures or .npy arrays")
    return files


def read_images(path: Path) -> Iterator[Images]:
    """Read what a file, or standard input for "-", holds.

    Raises:
        InvalidImage: it cannot be read, is neither picture nor array, or holds no image.
    """
    if path == STDIN:
        content = sys.stdin.buffer.read()
        if content.startswith((_ARRAY, _ARRAYS)):
            yield from _arrays(path, io.BytesIO(content))
        else:
            yield _picture(path, content)
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
            f"{path}: not an array of numbers that can be read; write it with np.save or np.savez"
        ) from error
    for name, array in named.items():
        shown = f"{path}/{name}" if name else str(path)
        if not array.size:
            raise InvalidImage(
                f"{shown}: an array without images, of shape {array.shape}; expected (28, 28) for one "
                "image or (N, 28, 28) for several"
            )
        is_single = array.shape in IMAGE_SHAPES or array.ndim == 0
        yield Images(shown, array[None] if is_single else array)
