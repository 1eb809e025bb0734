"""Blocks: frames that wait together and share an answer; and how the blocks of a batch are joined."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inkstream_server.batching.fair_queue import Flow
from inkstream_server.batching.results import Network, Share
from inkstream_server.engines import Frames

SMALL_ROWS = 8
"""Blocks of fewer frames on average are joined before they are computed: copying 784 bytes costs less than
another round of each step of a batch."""


Answer = asyncio.Future[list[Share]]
"""The answer to a block: its shares, in the order of its rows; or a `DeadlineExpired` or `EngineFailed`."""


@dataclass(slots=True, eq=False)
class Block:
    """Frames that wait together, and how many of them have been taken into batches."""

    frames: list[Frames]
    rows: int
    """Frames in all."""
    deadline: float | None
    """When the answer becomes worthless, on the clock of `time.perf_counter`, in seconds."""
    arrived: float
    """When they were submitted, on the same clock: the mean over all frames."""
    answer: Answer
    network: Network
    """Computes them: the one that served when they were submitted."""
    row_ns: int
    """Work of a frame, in nanoseconds."""
    shares: list[Share] = field(default_factory=list)
    """The part of the answer that is known."""
    taken: int = 0
    """Rows that went into a batch."""

    @property
    def rows_left(self) -> int:
        """Rows that wait."""
        return self.rows - self.taken

    @property
    def batch_rows(self) -> int:
        """Most rows in a batch of its network."""
        return self.network.engine.max_rows

    def add(self, frames: Frames, now: float) -> None:
        """Add frames that were submitted `now`."""
        self.frames.append(frames)
        self.rows += len(frames)
        self.arrived += (now - self.arrived) * len(frames) / self.rows

    def between(self, start: int, stop: int) -> list[Frames]:
        """Give the frames from one row up to another."""
        if stop - start == self.rows:
            return self.frames
        found, first = [], 0
        for frames in self.frames:
            found.append(frames[max(0, start - first) : max(0, stop - first)])
            first += len(frames)
        return [frames for frames in found if len(frames)]


StreamFlow = Flow[Block]
"""The blocks of one stream in the queue."""

Part = tuple[Block, int, int]
"""A block and the first and last-plus-one of its rows that go into a batch."""


def frames_of(parts: Sequence[Part], rows: int) -> list[Frames]:
    """Give the frames of a batch of so many rows, small blocks of one dtype joined."""
    blocks = [frames for block, start, stop in parts for frames in block.between(start, stop)]
    if len(blocks) == 1 or len(blocks) * SMALL_ROWS <= rows or len({b.dtype for b in blocks}) > 1:
        return blocks
    joined: Any = np.concatenate(blocks)
    return [joined]
