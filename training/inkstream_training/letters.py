"""Reads images of letters, which are no digits: EMNIST's, of the by-class test set.

It has letters only. Digits of EMNIST hold MNIST's test digits, and no model may learn from them.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from inkstream import pictures
from inkstream.mnist import DatasetUnavailable

from inkstream_training.ink.mixture import looks_like_a_digit

__all__ = ["FILE", "LICENCE", "SHA256", "Letters", "Part", "fitted", "load", "parts"]

FILE: Final = "emnist_letters/letters.npz"
"""Path below the folder of data: `images`, uint8 (n, 28, 28), ink high, and `labels`, a letter each."""

SHA256: Final = "fca5cdbc22ed7d8a41fd7acf8a586380fb71cf61626a91626b9e3a31bf9f0b87"
"""Digest of the file."""

LICENCE: Final = "NIST Special Database 19, a work of the US government"
"""Licence, as its source states it."""

_TRAINING, _VALIDATION = 100, 115
"""Of each letter the first 100 are for training, the next 15 for validation, the rest for the test. The file
names no writers."""

_MARGIN: Final = 14
"""Pixels around an image that make a picture of it, which `pictures` then fits into MNIST's box."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Images of letters for one use."""

    images: npt.NDArray[np.uint8]
    """uint8 (n, 28, 28), as published: most fill the image, and digits of MNIST do not."""

    look_alike: npt.NDArray[np.bool_]
    """Whether each looks like a digit: (n,)."""


@dataclass(frozen=True, slots=True, eq=False)
class Letters:
    """All images of letters."""

    training: Part
    """To learn from."""

    validation: Part
    """To choose by."""

    test: Part
    """To measure on, once."""

    def __len__(self) -> int:
        """Give the number of all images."""
        return sum(len(part.images) for part in (self.training, self.validation, self.test))


def load(folder: Path | None = None) -> Letters:
    """Read the file and check its digest.

    Args:
        folder: the folder of data; None takes `$INKSTREAM_DATA`.

    Raises:
        DatasetUnavailable: the file is missing, cannot be read, or its digest is wrong.
    """
    named = os.environ.get("INKSTREAM_DATA")
    where = folder or (Path(named) if named else None)
    if where is None:
        raise DatasetUnavailable(
            f"letters: INKSTREAM_DATA is not set; set it to the folder that holds {FILE}"
        )
    path = where / FILE
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetUnavailable(
            f"{path}: {error.strerror}; set INKSTREAM_DATA to the folder that holds {FILE}"
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256:
        raise DatasetUnavailable(f"{path}: expected sha256 {SHA256}, got {digest}")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return parts(arrays["images"], arrays["labels"])
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DatasetUnavailable(f"{path}: expected images and labels: {error}") from error


def parts(images: npt.NDArray[np.uint8], labels: npt.NDArray[np.str_]) -> Letters:
    """Split images by the place of each among those of its letter.

    Args:
        images: uint8 (n, 28, 28).
        labels: a letter for each, (n,).
    """
    rank = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        of_label = np.flatnonzero(labels == label)
        rank[of_label] = np.arange(len(of_label))
    alike = np.array([looks_like_a_digit(str(label)) for label in labels], np.bool_)

    def part(chosen: npt.NDArray[np.bool_]) -> Part:
        return Part(images[chosen], alike[chosen])

    return Letters(
        training=part(rank < _TRAINING),
        validation=part((rank >= _TRAINING) & (rank < _VALIDATION)),
        test=part(rank >= _VALIDATION),
    )


def fitted(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Make images as large as MNIST's digits, and centre them by mass: uint8 (n, 28, 28)."""
    margins = ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN))
    made = [pictures.prepare(np.pad(image, margins)) for image in images]
    return np.stack(made) if made else images
