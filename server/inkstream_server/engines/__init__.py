"""What computes probabilities from frames. An engine knows arrays; nothing of gRPC, streams or queues.

To add one: write a module beside `litert.py` whose class satisfies `Engine`, and name the class in
`config.ENGINES`.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8] | NDArray[np.float32]
"""Images as rows: shape (n, 784), uint8 0..255 or float32 0..1, ink high, C-contiguous."""

Probabilities = NDArray[np.float32]
"""Shape (n, 10): row i holds the probabilities of the digits 0 to 9 for frame i."""

PIXELS = 784
DIGITS = 10

BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Batch sizes an engine prepares: a batch is padded to the next one, so that no shape is new at run time."""

_UINT8_SCALE = np.float32(1 / 255)


class Engine(Protocol):
    """Computes batches, one at a time. Two calls of `infer` never overlap, but threads may differ."""

    name: str
    """Kind of engine, as in `--engine`."""

    max_rows: int
    """Most frames that one call may bring: the largest bucket."""

    in_place_rows: int
    """Largest batch that is cheaper than a hop to another thread, so that the event loop may run it
    itself; 0 for an engine that is always slower than the hop."""

    pixels: NDArray[np.float32]
    """The frames of the last call of `infer` as the network saw them, shape (n, 784), 0 to 1. Valid, and
    unchanged, until the next call."""

    def infer(self, blocks: Sequence[Frames]) -> Probabilities:
        """Compute one batch.

        Args:
            blocks: frames in the order in which answers are wanted; 1 to `max_rows` rows in all,
                dtypes may differ from block to block.

        Returns: float32 of shape (rows in all, 10), owned by the caller.

        Raises: whatever the engine raises; the batcher fails this batch and goes on.
        """
        ...


def bucket_for(rows: int) -> int:
    """Give the smallest bucket that holds `rows` frames.

    Raises:
        ValueError: more rows than the largest bucket, or none.
    """
    if not 1 <= rows <= BUCKETS[-1]:
        raise ValueError(f"rows: expected 1 to {BUCKETS[-1]}, got {rows}")
    return 1 << (rows - 1).bit_length()


def fill(rows: NDArray[np.float32], blocks: Sequence[Frames]) -> None:
    """Write blocks end to end into an engine's input, bytes scaled to 0..1.

    Args:
        rows: float32 of shape (at least all blocks' rows, 784), written in place. Rows beyond the blocks
            keep what they held: networks treat rows apart, so padding never reaches an answer.
        blocks: see `Engine.infer`.
    """
    start = 0
    for block in blocks:
        stop = start + len(block)
        if block.dtype == np.uint8:
            place = rows[start:stop]
            # In two steps: together they take numpy half as long as one that converts as it multiplies.
            place[...] = block
            place *= _UINT8_SCALE
        else:
            rows[start:stop] = block
        start = stop
