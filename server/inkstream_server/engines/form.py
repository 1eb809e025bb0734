"""What a network takes and gives: the shape of a row, its range, and whether its outputs are probabilities.

A version's card states it, and an engine is made with it. Leaves reading the card to `model_store`.
"""

from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inkstream_server.engines import BUCKETS

SHAPES: Final = ((28, 28), (28, 28, 1), (1, 28, 28), (784,), (64, 7))
"""Shapes of a row. The last is a trace of ink (`ink.trace`), and all others are an image."""

HIGHS: Final = (1, 255)
"""Values that full ink may have in a network's input."""


TEMPERATURES: Final = (0.01, 100.0)
"""Least and most temperature. Fitted ones are near 1; powers of probabilities overflow far beyond these."""


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

    temperature: float = 1.0
    """Divides the logits, `TEMPERATURES`: above 1 makes answers less sure. The networks of training have
    theirs in their weights."""

    max_rows: int = BUCKETS[-1]
    """Most rows in a batch, one of `BUCKETS`. Each bucket takes memory."""

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise ValueError(f"input.shape: expected one of {SHAPES}, got {self.shape}")
        if self.high not in HIGHS:
            raise ValueError(f"input.high: expected 1 or 255, got {self.high}")
        if self.max_rows not in BUCKETS:
            raise ValueError(f"max_rows: expected one of {BUCKETS}, got {self.max_rows}")
        least, most = TEMPERATURES
        if not least <= self.temperature <= most:
            raise ValueError(
                f"image_temperature: expected {least:g} to {most:g}, got {self.temperature:g}"
            )

    @property
    def columns(self) -> int:
        """Numbers in a row."""
        return prod(self.shape)


IMAGES: Final = Form()
"""Networks for images as training exports them."""

TRACES: Final = Form((64, 7), max_rows=32)
"""Networks for traces of ink. They take some 30 microseconds a row in any batch, so larger batches would gain
nothing, block the event loop for longer, and take 16 MB."""


def as_probabilities(outputs: NDArray[Any], form: Form) -> NDArray[np.float32]:
    """Turn a network's outputs into probabilities whose sum is 1.

    Args:
        outputs: float32 (n, 10), owned by the caller and changed in place: logits, or probabilities, which
            the rounding of a quantised network may have moved from a sum of 1.
        form: which of both, and the temperature.

    Returns: float32 (n, 10). A row of probabilities that are all 0 becomes 0.1 each.
    """
    if form.gives_logits:
        outputs -= outputs.max(axis=1, keepdims=True)
        if form.temperature != 1:
            outputs /= np.float32(form.temperature)
        np.exp(outputs, out=outputs)
    else:
        np.maximum(outputs, 0, out=outputs)
        outputs[~outputs.any(axis=1)] = 1
        if form.temperature != 1:
            # Scaled first, so that no power of a row vanishes.
            outputs /= outputs.max(axis=1, keepdims=True)
            outputs **= np.float32(1 / form.temperature)
    outputs /= outputs.sum(axis=1, keepdims=True)
    return outputs
