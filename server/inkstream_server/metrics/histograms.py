"""Histograms that count items: one call counts any number of them at the cost of one."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from time import time

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.samples import Exemplar

from inkstream_server.metrics.counters import Family

LATENCY_BUCKETS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.004, 0.006, 0.008, 0.01, 0.013, 0.016, 0.02, 0.025,
    0.03, 0.04, 0.05, 0.065, 0.08, 0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5, 0.65, 0.8,
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0,
)  # fmt: skip
"""Seconds, after gRPC proposal A66: 0.1 ms to 100 s, finest where people notice."""


class ItemHistogram(Family["Series"]):
    """A Prometheus histogram that takes any number of observations in one call.

    prometheus_client's own takes one observation a call, at 1 to 2 microseconds; here a message of 64
    frames that waited together costs the same as one frame. One thread observes; a scrape from another
    thread sees a total that never exceeds what was observed.
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        buckets: Sequence[float],
        registry: CollectorRegistry,
        labels: Sequence[str] = (),
        values: Iterable[str | tuple[str, ...]] = ((),),
    ) -> None:
        """Make every series and register; `buckets` are rising upper bounds, the rest is as in `Family`."""
        self._bounds = [*buckets]
        self._names = [*map(str, buckets), "+Inf"]
        super().__init__(name, documentation, registry, labels, values)

    def collect(self) -> Iterable[Metric]:
        """Give the figures, for a scrape from any thread."""
        family = HistogramMetricFamily(*self._about, labels=self._labels)
        for values, series in self._labelled():
            counts = accumulate([*series.counts])
            buckets = zip(self._names, map(float, counts), series.exemplars, strict=True)
            family.add_metric(values, [*buckets], series.total)  # type: ignore[list-item]  # Takes None.
        return [family]

    def _new_series(self) -> "Series":
        return Series(self._bounds)


class Series:
    """The counts behind one combination of labels."""

    __slots__ = ("_bounds", "_edges", "counts", "exemplars", "total")

    def __init__(self, bounds: list[float]) -> None:
        self._bounds = bounds
        self._edges = np.array(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.exemplars: list[Exemplar | None] = [None] * len(self.counts)

    def observe(self, value: float, items: int = 1) -> None:
        """Count `items` items of this value."""
        self.counts[bisect_left(self._bounds, value)] += items
        self.total += value * items

    def exemplify(self, value: float, labels: dict[str, str]) -> None:
        """Name the last item in the bucket of `value` as its exemplar, which only OpenMetrics shows."""
        self.exemplars[bisect_left(self._bounds, value)] = Exemplar(labels, value, time())

    def observe_all(self, values: NDArray[np.float32]) -> None:
        """Count one item for each value of an array."""
        found = np.bincount(self._edges.searchsorted(values), minlength=len(self.counts)).tolist()
        self.counts = [before + more for before, more in zip(self.counts, found, strict=True)]
        self.total += float(values.sum(dtype=np.float64))
