"""The figures of a run by name, so that each case keeps only those it needs."""

from collections.abc import Sequence
from statistics import median
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from benchmarks.servers.processes import Running

Figures = dict[str, float]
"""Figures of one run by name."""
Rows = dict[str, list[Figures]]
"""Figures by what was measured, one for each round."""

RATE = "images/s"
CPU = "CPU us/image"
"""Processor time of the server, user and system."""
MEMORY = "MB"
"""Resident memory of the server after the run, in 10^6 bytes."""
PERCENTILES = {"p50 ms": 50.0, "p90 ms": 90.0, "p99 ms": 99.0, "p99.9 ms": 99.9}
P50, P90, P99, _ = PERCENTILES
LATE = "sent late p99 ms"
"""Delay of the load generator, which is part of the latencies."""

INKSTREAM, RAW, STUBS = "inkstream", "floor, raw", "floor, stubs"


class Meter:
    """Measures processor time and memory of a server from now on."""

    def __init__(self, target: Running) -> None:
        """Start measuring `target`."""
        self._target = target
        self._cpu, self._began = target.cpu_seconds(), perf_counter()

    def figures(self, images: int, seconds: float | None = None) -> Figures:
        """Return rate, processor time and memory; `seconds` replaces the time measured here."""
        seconds = seconds or perf_counter() - self._began
        return {
            RATE: images / seconds,
            CPU: (self._target.cpu_seconds() - self._cpu) / images * 1e6,
            MEMORY: self._target.resident_mb(),
        }


def percentiles_ms(seconds: NDArray[np.float64]) -> Figures:
    """Return p50, p90, p99 and p99.9 of latencies, in milliseconds."""
    values = np.percentile(seconds, list(PERCENTILES.values())) * 1000
    return dict(zip(PERCENTILES, values.tolist(), strict=True))


def middle(runs: Sequence[Figures], name: str) -> float:
    """Return the median of a figure over the rounds."""
    return float(median(run[name] for run in runs))


def ratio(runs: Sequence[Figures], floors: Sequence[Figures], name: str) -> float:
    """Return the median, over the rounds, of a figure divided by the floor's in the same round."""
    return float(median(run[name] / floor[name] for run, floor in zip(runs, floors, strict=True)))
