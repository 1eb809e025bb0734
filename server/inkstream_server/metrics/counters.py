"""Counters for one thread: a plain addition, where prometheus_client's own take a lock each time."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

OneSeries = TypeVar("OneSeries")


class Family(Collector, Generic[OneSeries]):
    """A metric whose series are all present from the start, one for each combination of label values."""

    def __init__(
        self,
        name: str,
        documentation: str,
        registry: CollectorRegistry,
        labels: Sequence[str] = (),
        values: Iterable[str | tuple[str, ...]] = ((),),
    ) -> None:
        """Make every series and register.

        Args:
            name: name of the metric, of a counter without `_total`.
            documentation: its help line. The first word is the unit, unless the name ends in `_seconds`.
            registry: where to register.
            labels: names of the labels.
            values: every combination of their values: strings for one label, tuples for several.
        """
        self._about = name, documentation
        self._labels = labels
        self.series: dict[Any, OneSeries] = {}
        """The series to count in, by its entry in `values`. Look it up once: a look-up costs time."""
        for value in values:
            self.add(value)
        registry.register(self)

    def add(self, value: str | tuple[str, ...]) -> OneSeries:
        """Add the series of one more combination of label values."""
        self.series[value] = self._new_series()
        return self.series[value]

    @property
    def only(self) -> OneSeries:
        """The one series of a metric without labels."""
        (series,) = self.series.values()
        return series

    def describe(self) -> Iterable[Metric]:
        """Name the metric for the registry."""
        return self.collect()

    def _labelled(self) -> Iterable[tuple[Sequence[str], OneSeries]]:
        """Give the label values of each series as prometheus_client takes them."""
        for value, series in [*self.series.items()]:  # Another thread may add one.
            yield [value] if isinstance(value, str) else value, series

    @abstractmethod
    def _new_series(self) -> OneSeries: ...


class Count:
    """The figure behind one combination of labels."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self, items: int = 1) -> None:
        """Count so many. From one thread only, at 0.05 microseconds against 0.6."""
        self.value += items


class ItemCounter(Family[Count]):
    """A Prometheus counter that is written from one thread."""

    _new_series = Count

    def collect(self) -> Iterable[Metric]:
        """Give the figures, for a scrape from any thread."""
        family = CounterMetricFamily(*self._about, labels=self._labels)
        for values, count in self._labelled():
            family.add_metric(values, count.value)
        return [family]
