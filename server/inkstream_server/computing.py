"""What computes a batch, and what its answers have to be: an engine is foreign code and may give anything."""

from time import perf_counter
from typing import Protocol

from inkstream_server.blocks import Batch
from inkstream_server.doubts import doubts_of
from inkstream_server.engines import DIGITS, Engine, Probabilities
from inkstream_server.rejection import RejectRule


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


def judged(network: Network, probabilities: Probabilities, rows: int, started: float) -> Batch:
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
    doubts = doubts_of(network.engine.pixels)
    return Batch(network.label, probabilities, started, seconds, network.rule, doubts)


def failure_of(cause: BaseException) -> EngineFailed:
    """Say of a batch that it was not computed, and why."""
    failure = EngineFailed(f"the engine failed: {cause}")
    failure.__cause__ = cause
    return failure
