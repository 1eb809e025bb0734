"""What a network takes and gives: the shape of a row, its range, and whether its outputs are probabilities.

A version's card states it, and an engine is made with it. Leaves reading the card to `model_store`.
"""

from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SHAPES: Final = ((28, 28), (28, 28, 1), (1, 28, 28), (784,), (64, 7))
"""Shapes of a row. The last is a trace of ink (`ink.trace`), and all others are an image."""

HIGHS: Final = (1, 255)
"""Values that full ink may have in a network's input."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a network takes a row and what it gives. The default is that of the bundled networks for images.

    Raises:
        ValueError: a field has none of its values.
    """

    shape: tuple[int, ...] = (28, 28)
    """Shape of a row as the network takes it, one of `SHAPES`."""

    high: int = 1
    """Value of full ink in the network's input, one of `HIGHS`: images of 0 to 1 are multiplied by it. A
    network for traces takes them as they are, with 1."""

    gives_logits: bool = False
    """Whether the network ends without a softmax, which the engine then adds."""

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise ValueError(f"input.shape: expected one of {SHAPES}, got {self.shape}")
        if self.high not in HIGHS:
            raise ValueError(f"input.high: expected 1 or 255, got {self.high}")

    @property
    def columns(self) -> int:
        """Numbers in a row."""
        return prod(self.shape)


IMAGES: Final = Form()
"""Networks for images as training exports them."""

TRACES: Final = Form((64, 7))
"""Networks for traces of ink."""


def as_probabilities(outputs: NDArray[Any], are_logits: bool) -> NDArray[np.float32]:
    """Turn a network's outputs into probabilities whose sum is 1.

    Args:
        outputs: float32 (n, 10), owned by the caller: logits, or probabilities that rounding (a quantised
            output) has moved from their sum. Changed in place.
        are_logits: which of both.

    Returns: float32 (n, 10). A row of zeros becomes 0.1 each.
    """
    if are_logits:
        outputs -= outputs.max(axis=1, keepdims=True)
        np.exp(outputs, out=outputs)
    else:
        np.maximum(outputs, 0, out=outputs)
        outputs[~outputs.any(axis=1)] = 1
    outputs /= outputs.sum(axis=1, keepdims=True)
    return outputs
