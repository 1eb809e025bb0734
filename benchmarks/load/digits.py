"""The digits that loads send, and the check that what came back is right."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from inkstream.mnist import load
from numpy.typing import NDArray

RIGHT_AT_LEAST = 0.97
"""Of any run; the bundled models recognise more than 98 % of the whole."""


class Wrong(RuntimeError):
    """Answers are missing or wrong: how fast they came means nothing."""


@dataclass(frozen=True, slots=True)
class Digits:
    """MNIST's test images in their order, over and over."""

    images: NDArray[np.uint8]
    """uint8 (n, 28, 28)."""
    labels: NDArray[np.uint8]
    """uint8 (n,)."""

    def pixels(self, first: int, count: int) -> bytes:
        """Give images `first` to `first + count` end to end."""
        rows = np.arange(first, first + count) % len(self.images)
        return self.images[rows].tobytes()

    def check(self, answered: Sequence[int]) -> None:
        """Check the answers to images 0, 1, 2, ...

        Raises:
            Wrong: fewer than RIGHT_AT_LEAST are as labelled, and more than one is not: among 20 one is
                more than that.
        """
        wanted = self.labels[np.arange(len(answered)) % len(self.labels)]
        right = float(np.mean(np.asarray(answered) == wanted))
        if not right * len(answered) >= min(RIGHT_AT_LEAST * len(answered), len(answered) - 1):
            raise Wrong(f"only {right:.2%} of {len(answered):,} answers were right")


def mnist() -> Digits:
    """Load the test images from INKSTREAM_DATA, else from the cache or MNIST's mirror."""
    return Digits(*load("test"))
