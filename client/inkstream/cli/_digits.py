"""Digits to show and to load a server with: real ones where they can be had, else drawn ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from inkstream import mnist
from inkstream.cli.pen_simulator import draw_digits

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
