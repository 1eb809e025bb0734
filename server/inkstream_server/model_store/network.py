"""A network that is loaded and warm, with what batches need to know of it."""

from dataclasses import dataclass
from time import perf_counter_ns
from typing import Final, Literal

import numpy as np

from inkstream_server.confidence.rejection import ACCEPT_ALL, RejectRule
from inkstream_server.engines import Engine, Frames

_ROWS: Final = 64
"""Rows of a timed batch, or fewer if the engine takes fewer. Under load, batches are large."""

_RUNS: Final = 5
"""Timed runs of a batch. The fastest one counts, because others also measure what else the machine did."""


@dataclass(frozen=True, slots=True)
class LoadedNetwork:
    """One network of a version of a model. Satisfies `batching.results.Network`."""

    label: str
    """Name and version of the model as answers carry them, for example "digits/1"."""
    engine: Engine
    """Computes its answers."""
    rule: RejectRule = ACCEPT_ALL
    """When answers are rejected, as the model's card says."""
    kind: Literal["image", "strokes"] = "image"
    """What it reads: images, or glyphs as images and strokes."""
    row_ns: int = 1
    """Measured cost of a row in a batch, in nanoseconds."""


def measure_row_ns(engine: Engine, sample: Frames) -> int:
    """Measure what a row costs in a batch, in nanoseconds.

    Args:
        engine: an engine that is warm.
        sample: rows, which are repeated to fill the batch.
    """
    rows = sample[np.arange(min(_ROWS, engine.max_rows)) % len(sample)]
    return max(1, min(_timed(engine, rows) for _ in range(_RUNS)) // len(rows))


def _timed(engine: Engine, rows: Frames) -> int:
    began = perf_counter_ns()
    engine.infer([rows])
    return perf_counter_ns() - began
