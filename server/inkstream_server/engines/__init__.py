"""Engines compute probabilities from frames. They know arrays and nothing of gRPC, streams or queues.

To add an engine, write a module beside `litert.py` whose class satisfies `Engine`, and name the class in
`config.ENGINES`.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8] | NDArray[np.float32]
"""What a network reads, as rows, C-contiguous. Images: shape (n, 784), uint8 0..255 or float32 0..1, ink
high. Traces of ink (`ink.trace`): shape (n, 448), float32."""

Probabilities = NDArray[np.float32]
"""Shape (n, 10): row i holds the probabilities of the digits 0 to 9 for frame i."""

PIXELS = 784
DIGITS = 10

BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Batch sizes that an engine prepares. A batch is padded to the next one, so that no shape is new."""

_UINT8_SCALE = np.float32(1 / 255)


class Engine(Protocol):
    """Computes batches. Calls of `infer` never overlap, but may come from different threads.

    The constructor takes the path and the content of a model's file (`config.ENGINES`) and what the network
    takes and gives (`form.Form`), and prepares every bucket.
    """

    name: str
    """Kind of engine, as in `--engine`."""

    max_rows: int
    """Most frames in one call of `infer`: the largest bucket."""

    in_place_rows: int
    """Largest batch that the event loop computes itself, because a hop to another thread would cost more; 0
    if every batch goes to the thread."""

    pixels: NDArray[np.float32]
    """The frames of the last call of `infer`, bytes scaled to 0..1; shape (n, columns of a row). Valid until
    the next call."""

    def infer(self, blocks: Sequence[Frames]) -> Probabilities:
        """Compute one batch.

        Args:
            blocks: frames in the order of the answers; 1 to `max_rows` rows in all. Each block may have
                another dtype.

        Returns: float32 of shape (rows in all, 10), owned by the caller.

        Raises: any exception; the batcher then fails this batch and continues with the next.
        """
        ...


def bucket_for(rows: int) -> int:
    """Give the smallest bucket that holds `rows` frames.

    Raises:
        ValueError: no rows, or more than the largest bucket.
    """
    if not 1 <= rows <= BUCKETS[-1]:
        raise ValueError(f"rows: expected 1 to {BUCKETS[-1]}, got {rows}")
    return 1 << (rows - 1).bit_length()


def fill(rows: NDArray[np.float32], blocks: Sequence[Frames]) -> None:
    """Write blocks one after another into an engine's input, bytes scaled to 0..1.

    Args:
        rows: float32 of shape (at least the rows of all blocks, columns), written in place. Further rows keep
            their content: a network computes each row by itself, so padding never affects an answer.
        blocks: see `Engine.infer`.
    """
    start = 0
    for block in blocks:
        stop = start + len(block)
        if block.dtype == np.uint8:
            place = rows[start:stop]
            # Two steps take numpy half as long as one that converts and multiplies.
            place[...] = block
            place *= _UINT8_SCALE
        else:
            rows[start:stop] = block
        start = stop
