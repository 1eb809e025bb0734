"""Gives labelled images to try a network on: drawn ones, and those of files."""

import io
from pathlib import Path
from typing import Any, Final

import numpy as np
from inkstream import mnist
from inkstream.cli.writing.pen_simulator import draw_digits
from numpy.typing import NDArray

from inkstream_server.engines import DIGITS, PIXELS, Frames
from inkstream_server.errors import shown
from inkstream_server.model_import.sources import SourceError
from inkstream_server.process.files import read_regular

DRAWN: Final = 400
"""Drawn digits. Half a second."""

MOST_IMAGES: Final = 10_000
"""Most images of a file that are used: its first ones."""

MOST_FILE_BYTES: Final = 512 * 1024 * 1024
"""Largest file of images; 60,000 images in float64 take 376 MB."""

_NAMES: Final = {
    "images": ("images", "x_test", "x", "x_val", "x_train"),
    "labels": ("labels", "y_test", "y", "y_val", "y_train"),
}
"""Arrays that are looked for in a `.npz` file, in this order."""

_BRIGHT: Final = 1.5
"""If a pixel of float images is above it, they are of 0 to 255."""

Labels = NDArray[np.int64]


def drawn() -> tuple[NDArray[np.uint8], Labels]:
    """Draw digits as MNIST has them: frames (DRAWN, 784), and labels. The same ones each time."""
    images, labels = draw_digits(DRAWN)
    return images.reshape(DRAWN, PIXELS), labels.astype(np.int64)


def nudged(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Move each frame by up to a pixel, which makes it harder to read."""
    random = np.random.default_rng(1)
    images = frames.reshape(-1, 28, 28)
    moved = [np.roll(image, tuple(random.integers(-1, 2, 2)), (0, 1)) for image in images]
    return np.stack(moved).reshape(frames.shape)


def read_labelled(images: Path, labels: Path) -> tuple[Frames, Labels]:
    """Read images and their labels from `.npy`, `.npz` or MNIST's idx files, gzipped or not.

    Args:
        images: of shape (n, 28, 28), (n, 28, 28, 1), (n, 1, 28, 28) or (n, 784), ink high, 0..255 or 0..1.
        labels: of shape (n,) or (n, 1), 0 to 9; or of shape (n, 10), one high number a row.

    Returns: at most `MOST_IMAGES` frames (n, 784), uint8 or float32 of 0..1, and their labels.

    Raises:
        SourceError: a file cannot be read, or holds something else.
    """
    pixels, digits = _array(images, "images"), _digits(_array(labels, "labels"), labels)
    frames = _frames(pixels, images)
    if len(pixels) != len(digits) or not len(frames):
        raise SourceError(
            f"--calibrate: expected a label for each image, and at least one, got {len(pixels)} images and "
            f"{len(digits)} labels"
        )
    return frames, digits[:MOST_IMAGES]


def _array(path: Path, what: str) -> NDArray[Any]:
    try:
        if path.suffix not in (".npy", ".npz"):
            return mnist.read_idx(path)
        content = io.BytesIO(read_regular(path, MOST_FILE_BYTES))
        loaded = np.load(content, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        found = next((it for it in _NAMES[what] if it in loaded.files), None)
        if found is None and len(loaded.files) != 1:
            raise ValueError(
                f"expected an array named {_NAMES[what][0]}, {_NAMES[what][1]} …, got {shown(loaded.files)}"
            )
        array: NDArray[Any] = loaded[found or loaded.files[0]]
        return array
    except OSError as error:
        raise SourceError(f"--calibrate: {path}: {error.strerror or shown(str(error))}") from error
    except Exception as error:  # NumPy and zlib raise many kinds for a damaged file.
        raise SourceError(
            f"--calibrate: {path} cannot be read ({shown(str(error))}): expected .npy, .npz, or an idx file "
            "of MNIST"
        ) from error


def _frames(array: NDArray[Any], path: Path) -> Frames:
    if array.shape[1:] not in ((28, 28), (28, 28, 1), (1, 28, 28), (PIXELS,)):
        raise SourceError(
            f"--calibrate: {path}: expected images of shape (n, 28, 28) or (n, 784), got {array.shape}"
        )
    rows = np.ascontiguousarray(array[:MOST_IMAGES]).reshape(-1, PIXELS)
    if rows.dtype == np.uint8:
        return rows
    if rows.dtype.kind not in "iuf":
        raise SourceError(f"--calibrate: {path}: expected numbers, got {rows.dtype}")
    high = 255 if rows.dtype.kind in "iu" or rows.max(initial=0) > _BRIGHT else 1
    if not (np.isfinite(rows).all() and rows.min(initial=0) >= 0 and rows.max(initial=0) <= high):
        raise SourceError(
            f"--calibrate: {path}: expected pixels of 0 to 255, or of 0 to 1, ink high"
        )
    return (rows / high).astype(np.float32)


def _digits(array: NDArray[Any], path: Path) -> Labels:
    if array.ndim == 2 and array.shape[1] == DIGITS:
        array = array.argmax(axis=1)
    elif array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "iuf" or not np.isin(array, range(DIGITS)).all():
        raise SourceError(
            f"--calibrate: {path}: expected labels of 0 to 9, of shape (n,), got {array.dtype} {array.shape}"
        )
    return array.astype(np.int64)
