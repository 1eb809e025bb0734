"""What goes into a batch and what comes out of it: blocks of frames, and the rows that answer them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inkstream_server.engines import Frames, Probabilities
from inkstream_server.rejection import ACCEPT_ALL, RejectRule

SMALL_ROWS = 8
"""Blocks of fewer frames on average are joined before they are computed: a copy of 784 bytes costs less than
doing each step of a batch once more."""


class Batch:
    """A batch that was computed, shared by all blocks that had rows in it."""

    def __init__(
        self,
        label: str,
        probabilities: Probabilities,
        started: float,
        seconds: float,
        rule: RejectRule = ACCEPT_ALL,
        doubts: list[int] | None = None,
    ) -> None:
        """Find the answers, once for all who share the batch.

        Args:
            label: what computed it, for example "digits/1".
            probabilities: float32 of shape (rows, 10).
            started: when the engine began, on the clock of `time.perf_counter`, in seconds.
            seconds: how long the engine took.
            rule: when its model's answers are rejected.
            doubts: what does not look like a digit's image, see `doubts_of`.

        Raises:
            ValueError: there is a NaN or an infinity among the probabilities.
        """
        self.label = label
        self.probabilities = probabilities
        self.started = started
        self.seconds = seconds
        self.rule = rule
        self.doubts = doubts
        self.digits: list[int]
        """Most probable digit of every row."""
        self.best: NDArray[np.float32]
        """Probability of that digit, row by row."""
        self.confidences: list[float]
        """The same as numbers."""
        if len(probabilities) == 1:
            # A row alone is what a caller waits for: here numbers take a fifth of what arrays take.
            (row,) = probabilities.tolist()
            total, most = sum(row), max(row)
            digit = row.index(most)
            self.digits, self.best, self.confidences = [digit], probabilities[:, digit], [most]
        else:
            total = probabilities.sum()
            digits = probabilities.argmax(axis=1)
            # numpy's max along rows of ten takes six times as long as picking what argmax found.
            starts = np.arange(0, probabilities.size, probabilities.shape[1])
            self.best = probabilities.ravel().take(starts + digits)
            self.digits, self.confidences = digits.tolist(), self.best.tolist()
        # One sum tells of any NaN or infinity.
        if not isfinite(total):
            raise ValueError("expected probabilities, got NaN or infinity")
        self.digit_column = bytes(self.digits)
        """The digits as protobuf packs them: numbers below 128 are their own bytes."""
        self.confidence_column = self.best.astype("<f4", copy=False).tobytes()
        """The confidences as protobuf packs them, four bytes each."""
        self.reasons: list[int] | None = None
        """Why its model's answers are rejected, see `RejectRule.reasons`."""
        if min(self.confidences) < rule.trusted_from:
            self.reasons = rule.reasons(probabilities)


# Not frozen: a frozen instance takes a microsecond longer to make, and every message makes one.
@dataclass(slots=True)
class Share:
    """The rows of a batch that belong to one block."""

    batch: Batch
    start: int
    stop: int


@dataclass(slots=True, eq=False)
class Block:
    """Frames that wait together, and how far they are."""

    frames: list[Frames]
    rows: int
    """Frames in all."""
    deadline: float | None
    """When the answer becomes worthless, on the clock of `time.perf_counter`, in seconds."""
    arrived: float
    """When they were submitted, on the same clock: the mean of all."""
    answer: asyncio.Future[list[Share]]
    shares: list[Share]
    """What is known of the answer."""
    taken: int = 0
    """Rows that went into a batch."""

    @property
    def rows_left(self) -> int:
        """Rows that wait."""
        return self.rows - self.taken

    def add(self, frames: Frames, now: float) -> None:
        """Have more frames wait with these, from `now` on."""
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


Part = tuple[Block, int, int]
"""A block and the first and last-plus-one of its rows that go into a batch."""


def frames_of(parts: Sequence[Part], rows: int) -> list[Frames]:
    """Give the frames of a batch of so many rows, small blocks of one dtype joined."""
    blocks = [frames for block, start, stop in parts for frames in block.between(start, stop)]
    if len(blocks) == 1 or len(blocks) * SMALL_ROWS <= rows or len({b.dtype for b in blocks}) > 1:
        return blocks
    joined: Any = np.concatenate(blocks)
    return [joined]
