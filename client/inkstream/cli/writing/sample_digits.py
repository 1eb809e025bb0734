"""Gives sample images and ink: real digits if they are available, else simulated ones."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inkstream import mnist
from inkstream.cli.writing.pen_simulator import draw_digits, write_digits
from inkstream.ink import Ink, InvalidInk, read

_PENDIGITS = Path("pendigits", "pendigits-orig.tra.gz")
"""UCI's pendigits with the original strokes, below the folder INKSTREAM_DATA."""
_MOST_DRAWN = 2000
"""Largest number of drawn images; each takes a quarter of a millisecond."""
_Bytes = npt.NDArray[np.uint8]


def labelled_digits(count: int) -> tuple[_Bytes, _Bytes, str]:
    """Give the first images of MNIST's test set, or drawn ones if MNIST is neither here nor on its mirror.

    Returns: images, uint8 of shape (N, 28, 28); labels, uint8 of shape (N,); and a sentence that says why
        they are drawn, else "".
    """
    try:
        images, labels = mnist.load("test")
    except mnist.DatasetUnavailable as missing:
        images, labels = draw_digits(min(count, _MOST_DRAWN))
        return images, labels, f"Digits are drawn by a pen simulator, not real: {missing}"
    return images[:count], labels[:count], ""


def labelled_ink(count: int) -> tuple[list[Ink], str]:
    """Give the first glyphs of pendigits, by many writers, or those of a pen simulator; and their source."""
    file = Path(os.environ.get("INKSTREAM_DATA", ""), _PENDIGITS)
    try:
        if file.is_file():
            return list(islice(read(file), count)), "real digits of pendigits"
    except InvalidInk:
        pass  # It is not the published file, so simulate.
    return write_digits(count, seed=1), "digits of a pen simulator"
