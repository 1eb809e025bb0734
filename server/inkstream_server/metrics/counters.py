"""Counters for one thread: a plain addition, where prometheus_client's own take a lock each time."""

from collections.abc import Iterable, Sequence

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry


class Count:
    """The figure behind one combination of labels."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self, items: int = 1) -> None:
        """Count so many. From one thread only, at 0.05 microseconds against 0.6."""
        self.value += items


class ItemCounter(Collector):
    """A Prometheus counter, one series for each combination of labels that is named at the start."""

    def __init__(
        self,
        name: str,
        documentation: str,
        registry: CollectorRegistry,
        labels: Sequence[str] = (),
        values: Iterable[Sequence[str]] = ((),),
    ) -> None:
        """Register, with every series present from the start.

        Args:
            name: name of the metric without `_total`.
            documentation: its help line.
            registry: where to register.
            labels: names of the labels.
            values: every combination of their values.
        """
        self._name = name
        self._documentation = documentation
        self._labels = [*labels]
        self._counts = {(*combination,): Count() for combination in values}
        registry.register(self)

    def count(self, *values: str) -> Count:
        """Give the count for a combination of labels. Hold on to it: looking it up costs."""
        return self._counts[values]

    def describe(self) -> Iterable[CounterMetricFamily]:
        """Name the metric without its figures, for the registry."""
        return [CounterMetricFamily(self._name, self._documentation)]

    def collect(self) -> Iterable[CounterMetricFamily]:
        """Give the figures, for a scrape from any thread."""
        family = CounterMetricFamily(self._name, self._documentation, labels=self._labels)
        for values, count in self._counts.items():
            family.add_metric(values, count.value)
        return [family]
