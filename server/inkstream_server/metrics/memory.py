"""Metrics of memory: what callers hold, and how many were refused or ended because it was short."""

from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from inkstream_server.limits.memory_book import KINDS, MemoryBook

_HELD: Final = "Bytes that the streams and calls of callers hold, by what for; an estimate."
_LIMIT: Final = "Bytes that the process should take at most, everything included."
_ENDED: Final = (
    "Streams and calls that were ended because the process took more memory than its limit."
)
_REFUSED: Final = (
    "Streams and calls that were refused because the process took more memory than its limit."
)


class MemoryMetrics(Collector):
    """The figures of a memory book."""

    def __init__(
        self, registry: CollectorRegistry, book: MemoryBook, ended: Callable[[], int]
    ) -> None:
        """Register.

        Args:
            registry: where to register.
            book: holds the figures.
            ended: gives how many holders were ended so far.
        """
        self._book = book
        self._ended = ended
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Give the figures, for a scrape from any thread."""
        held = GaugeMetricFamily("inkstream_memory_held_bytes", _HELD, labels=["kind"])
        for kind in KINDS:
            held.add_metric([kind], self._book.process.kinds[kind])
        limit = GaugeMetricFamily("inkstream_memory_limit_bytes", _LIMIT)
        limit.add_metric([], self._book.process.limit)
        ended = CounterMetricFamily("inkstream_memory_ended", _ENDED)
        ended.add_metric([], self._ended())
        refused = CounterMetricFamily("inkstream_memory_refused", _REFUSED)
        refused.add_metric([], self._book.refused)
        return [held, limit, ended, refused]
