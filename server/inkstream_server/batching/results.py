"""What computes a batch, and what its answers have to be: an engine is foreign code and may give anything."""

from dataclasses import dataclass
from math import isfinite
from time import perf_counter
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inkstream_server.confidence.image_warnings import image_warnings
from inkstream_server.confidence.rejection import ACCEPT_ALL, RejectRule
from inkstream_server.engines import DIGITS, Engine, Probabilities


class DeadlineExpired(Exception):
    """A block's deadline passed before its turn came."""


class EngineFailed(Exception):
    """The engine raised, or gave an array of the wrong shape; `__cause__` tells more."""


class Network(Protocol):
    """What computes batches, with all that belongs to it: when a model is swapped, all of it is."""

    @property
    def label(self) -> str:
        """Names it in every `Batch`, for example "digits/1"."""
        ...

    @property
    def engine(self) -> Engine:
        """Computes; called by one thread at a time."""
        ...

    @property
    def rule(self) -> RejectRule:
        """When its answers are rejected."""
        ...


class Batch:
    """A batch that was computed, shared by all blocks that had rows in it."""

    def __init__(
        self,
        label: str,
        probabilities: Probabilities,
        started: float,
        seconds: float,
        rule: RejectRule = ACCEPT_ALL,
        warnings: list[int] | None = None,
    ) -> None:
        """Find the answers, once for all who share the batch.

        Args:
            label: what computed it, for example "digits/1".
            probabilities: float32 of shape (rows, 10).
            started: when the engine began, on the clock of `time.perf_counter`, in seconds.
            seconds: how long the engine took.
            rule: when its model's answers are rejected.
            warnings: what does not look like a digit's image, see `image_warnings`.

        Raises:
            ValueError: there is a NaN or an infinity among the probabilities.
        """
        self.label = label
        self.probabilities = probabilities
        self.started = started
        self.seconds = seconds
        self.rule = rule
        self.warnings = warnings
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


@dataclass(slots=True)
class Share:
    """The rows of a batch that belong to one block."""

    batch: Batch
    start: int
    stop: int


def checked_batch(
    network: Network, probabilities: Probabilities, rows: int, started: float
) -> Batch:
    """Make a batch of what a network's engine just gave.

    Args:
        network: whose engine it was.
        probabilities: what it gave.
        rows: what it was given.
        started: when, on the clock of `time.perf_counter`, in seconds.

    Raises:
        ValueError: these are no probabilities of ten digits a row.
    """
    seconds = perf_counter() - started
    # An engine is foreign code: it may give anything, even None.
    shape = getattr(probabilities, "shape", None)
    if shape != (rows, DIGITS):
        raise ValueError(f"expected shape ({rows}, {DIGITS}), got {shape}")
    warnings = image_warnings(network.engine.pixels)
    return Batch(network.label, probabilities, started, seconds, network.rule, warnings)


def failure_of(cause: BaseException) -> EngineFailed:
    """Say of a batch that it was not computed, and why."""
    failure = EngineFailed(f"the engine failed: {cause}")
    failure.__cause__ = cause
    return failure
