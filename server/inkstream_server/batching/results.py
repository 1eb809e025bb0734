"""Batches that were computed, and the shares that blocks have in them. Checks what engines give."""

from dataclasses import dataclass
from math import isfinite
from time import perf_counter
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from inkstream_server.confidence.image_warnings import image_warnings
from inkstream_server.confidence.rejection import ACCEPT_ALL, RejectRule
from inkstream_server.engines import DIGITS, Engine, Probabilities

Kind = Literal["image", "strokes"]
"""What a network reads: images, or glyphs as images and strokes."""


class DeadlineExpired(Exception):
    """A block's deadline passed before its turn came."""


class EngineFailed(Exception):
    """The engine raised, or did not give probabilities of the right shape; see `__cause__`."""


class Network(Protocol):
    """Computes batches. A model swap replaces all of it."""

    @property
    def label(self) -> str:
        """Names it in every `Batch`, for example "digits/1"."""

    @property
    def engine(self) -> Engine:
        """Computes; called by one thread at a time."""

    @property
    def rule(self) -> RejectRule:
        """Rejects some of its answers."""

    @property
    def kind(self) -> Kind:
        """What it reads. Warnings are for images."""

    @property
    def row_ns(self) -> int:
        """Measured cost of a row in a batch, in nanoseconds, at least 1."""


class Batch:
    """A batch that was computed. All blocks with rows in it share it."""

    def __init__(
        self,
        label: str,
        probabilities: Probabilities,
        started: float,
        seconds: float,
        rule: RejectRule = ACCEPT_ALL,
        warnings: list[int] | None = None,
        kind: Kind = "image",
    ) -> None:
        """Find the digits, once for all blocks.

        Args:
            label: what computed it, for example "digits/1".
            probabilities: float32 of shape (rows, 10).
            started: when the engine began, on the clock of `time.perf_counter`, in seconds.
            seconds: how long the engine took.
            rule: rejects some of its model's answers.
            warnings: a mask for each row, see `image_warnings`; None for no warning.
            kind: what the network reads.

        Raises:
            ValueError: there is a NaN or an infinity among the probabilities.
        """
        self.label = label
        self.probabilities = probabilities
        self.started = started
        self.seconds = seconds
        self.rule = rule
        self.warnings = warnings
        self.kind = kind
        self.digits: list[int]
        """Most probable digit of every row."""
        self.best: NDArray[np.float32]
        """Probability of that digit, row by row."""
        self.confidences: list[float]
        """The same as numbers."""
        if len(probabilities) == 1:
            # A caller waits for a single row, and for one row numbers take a fifth of the time of arrays.
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
        # A NaN or infinity among them makes the sum one.
        if not isfinite(total):
            raise ValueError("expected probabilities, got NaN or infinity")
        self.digit_column = bytes(self.digits)
        """The digits as protobuf packs them: numbers below 128 are their own bytes."""
        self.confidence_column = self.best.astype("<f4", copy=False).tobytes()
        """The confidences as protobuf packs them, four bytes each."""
        self.reasons: list[int] | None = None
        """Reject reasons, see `RejectRule.reasons`; None if no row is rejected."""
        if min(self.confidences) < rule.trusted_from:
            self.reasons = rule.reasons(probabilities)


@dataclass(slots=True)
class Share:
    """The rows of a batch that belong to one block."""

    batch: Batch
    start: int
    stop: int


def checked_batch(
    network: Network, probabilities: Probabilities, rows: int, started: float
) -> Batch:
    """Make a batch of what a network's engine has just computed.

    Args:
        network: the engine's.
        probabilities: what the engine returned; any object, because an engine is foreign code.
        rows: how many frames it was given.
        started: when it began, on the clock of `time.perf_counter`, in seconds.

    Raises:
        ValueError: these are not probabilities of ten digits a row.
    """
    seconds = perf_counter() - started
    shape = getattr(probabilities, "shape", None)
    if shape != (rows, DIGITS):
        raise ValueError(f"expected shape ({rows}, {DIGITS}), got {shape}")
    kind = network.kind
    warnings = image_warnings(network.engine.pixels) if kind == "image" else None
    return Batch(network.label, probabilities, started, seconds, network.rule, warnings, kind)


def failure_of(cause: BaseException) -> EngineFailed:
    """Make the error that answers the blocks of a batch that was not computed."""
    failure = EngineFailed(f"the engine failed: {cause}")
    failure.__cause__ = cause
    return failure
