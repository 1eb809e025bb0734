"""Sums the metrics of many processes into one page on which no counter ever goes back.

A counter (or a bucket, count or sum of a histogram) is the sum over the living, as each last reported
it, and over all that ever died, as each last reported it. What a process counted after its last report
is lost with it. A gauge is of the living only, and of exemplars the latest is shown. Sums are exact
before they are rounded once: adding the same floats in another order can differ in the last digit, and
Prometheus would take a counter that fell by that much for one that began again.
"""

from collections.abc import Hashable, Iterable, Sequence
from fractions import Fraction
from math import fsum
from typing import Any

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.samples import Exemplar

Sample = tuple[str, dict[str, str], float, Sequence[Any] | None]
"""Name, labels, value, and the parts of an exemplar if there is one."""

Report = list[tuple[str, str, str, list[Sample]]]
"""What one process counts: for each metric its name, type, help and samples. JSON keeps it whole."""

_CUMULATIVE = {"counter", "histogram", "summary"}

_Labels = tuple[tuple[str, str], ...]
_Series = tuple[str, _Labels]


def report(registry: CollectorRegistry) -> Report:
    """Take down what a registry holds. Costs 2 ms for 700 samples, with its JSON."""
    return [
        (
            metric.name,
            metric.type,
            metric.documentation,
            [(it.name, it.labels, it.value, it.exemplar) for it in metric.samples],
        )
        for metric in registry.collect()
    ]


class MetricSums:
    """The last report of every process, and what is left of those that died. For one thread."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._about: dict[str, tuple[str, str]] = {}
        self._living: dict[Hashable, dict[str, dict[_Series, float]]] = {}
        self._dead: dict[str, dict[_Series, Fraction]] = {}
        self._exemplars: dict[_Series, Sequence[Any]] = {}

    def reported(self, process: Hashable, figures: Report) -> None:
        """Note a report; it takes the place of the last one of the same process."""
        self._living[process] = {
            name: {(sample, (*labels.items(),)): value for sample, labels, value, _ in samples}
            for name, _, _, samples in figures
        }
        for name, kind, help_text, samples in figures:
            self._about.setdefault(name, (kind, help_text))
            for sample, labels, _, exemplar in samples:
                series = (sample, (*labels.items(),))
                # By its time, which comes last: Prometheus refuses what is older than what it has.
                if exemplar and exemplar[-1] > self._exemplars.get(series, [0.0])[-1]:
                    self._exemplars[series] = exemplar

    def died(self, process: Hashable) -> None:
        """Keep a dead process's counters and forget its gauges; the next of its name begins at zero."""
        for name, samples in self._living.pop(process, {}).items():
            if self._about[name][0] in _CUMULATIVE:
                kept = self._dead.setdefault(name, {})
                for series, value in samples.items():
                    kept[series] = kept.get(series, Fraction()) + Fraction(value)

    def of(self, process: Hashable, name: str) -> float:
        """Give one process's last word on a metric, summed over its labels; 0 without any."""
        return fsum(self._living.get(process, {}).get(name, {}).values())

    def metrics(self) -> list[Metric]:
        """Give the page: every metric that anybody ever reported."""
        page = []
        for name, (kind, help_text) in self._about.items():
            metric = Metric(name, help_text, kind)
            dead = self._dead.get(name, {})
            values: dict[_Series, list[float]] = {}
            for figures in self._living.values():
                for series, value in figures.get(name, {}).items():
                    values.setdefault(series, []).append(value)
            for series in [*values, *(series for series in dead if series not in values)]:
                sample, labels = series
                living = values.get(series, [])
                total = (
                    _sum(living, dead.get(series)) if kind in _CUMULATIVE else _gauge(name, living)
                )
                example = self._exemplars.get(series)
                exemplar = Exemplar(*example) if example else None
                metric.add_sample(sample, dict(labels), total, exemplar=exemplar)
            page.append(metric)
        return page


def _sum(living: Iterable[float], dead: Fraction | None) -> float:
    # Both ways round the exact sum once.
    return fsum(living) if dead is None else float(sum(map(Fraction, living), dead))


def _gauge(name: str, living: list[float]) -> float:
    if name.endswith("_info"):
        return max(living)  # Always 1.
    if name.endswith(("_time_seconds", "_timestamp_seconds")):
        return min(living)  # When the server began, whichever of its processes began later.
    return fsum(living)
