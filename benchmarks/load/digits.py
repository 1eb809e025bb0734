"""The digits that every load sends, and the check of their answers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from inkstream.mnist import load
from numpy.typing import NDArray

RIGHT_AT_LEAST = 0.97
"""Least share of right answers in a run; the bundled models reach more than 98 % of all images."""


class Wrong(RuntimeError):
    """Answers are missing or wrong, so their speed means nothing."""


@dataclass(frozen=True, slots=True)
class Digits:
    """MNIST's test images in order, repeated without end."""

    images: NDArray[np.uint8]
    """uint8 (n, 28, 28)."""
    labels: NDArray[np.uint8]
    """uint8 (n,)."""

    def pixels(self, first: int, count: int) -> bytes:
        """Return the pixels of images `first` to `first + count`, end to end."""
        rows = np.arange(first, first + count) % len(self.images)
        return self.images[rows].tobytes()

    def check(self, answered: Sequence[int]) -> None:
        """Check the answers to images 0, 1, 2, ...

        Raises:
            Wrong: fewer than RIGHT_AT_LEAST are as labelled; one wrong answer is always allowed.
        """
        wanted = self.labels[np.arange(len(answered)) % len(self.labels)]
        right = float(np.mean(np.asarray(answered) == wanted))
        if not right * len(answered) >= min(RIGHT_AT_LEAST * len(answered), len(answered) - 1):
            raise Wrong(f"only {right:.2%} of {len(answered):,} answers were right")


def mnist() -> Digits:
    """Load the test images from INKSTREAM_DATA, else from the cache or MNIST's mirror."""
    return Digits(*load("test"))
