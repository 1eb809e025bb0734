"""Digits to show and to load a server with, images and ink: real ones where they can be had, else drawn."""

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
"""UCI's pendigits with the strokes as they were written, below the folder INKSTREAM_DATA."""
_Bytes = npt.NDArray[np.uint8]


def labelled_digits(count: int, *, may_draw_at_most: int = 2000) -> tuple[_Bytes, _Bytes, str]:
    """The first images of MNIST's test set; drawn ones where it can be neither found nor fetched.

    Args:
        count: how many at most.
        may_draw_at_most: how many drawn ones at most; they take a quarter of a millisecond each.

    Returns: images, uint8 of shape (N, 28, 28); labels, uint8 of shape (N,); and a sentence for
        people if they are drawn, else "".
    """
    try:
        images, labels = mnist.load("test")
    except mnist.DatasetUnavailable as missing:
        images, labels = draw_digits(min(count, may_draw_at_most))
        return images, labels, f"Digits are drawn by a pen simulator, not real: {missing}"
    return images[:count], labels[:count], ""


def labelled_ink(count: int) -> tuple[list[Ink], str]:
    """The first glyphs of pendigits, by many writers; written by a pen simulator where they are not here.

    Args:
        count: how many.

    Returns: inks with labels, and what they are, in words for people.
    """
    file = Path(os.environ.get("INKSTREAM_DATA", ""), _PENDIGITS)
    try:
        if file.is_file():
            return list(islice(read(file), count)), "real digits of pendigits"
    except InvalidInk:
        pass  # Not the published file: no reason to show nothing.
    return write_digits(count, seed=1), "digits of a pen simulator"
