from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inkstream_server.metrics.histograms import ItemHistogram
from inkstream_server.workers.metric_sums import MetricSums, Report, report
from prometheus_client import CollectorRegistry, Counter, Gauge, Info, generate_latest
from prometheus_client.registry import Collector


def counted(total: float, *, name: str = "items", **labels: str) -> Report:
    return [(name, "counter", "Items.", [(f"{name}_total", labels, total, None)])]


def gauge(name: str, value: float) -> Report:
    return [(name, "gauge", "A gauge.", [(name, {}, value, None)])]


def values(sums: MetricSums) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, (*sample.labels.items(),)): sample.value
        for metric in sums.metrics()
        for sample in metric.samples
    }


def value(sums: MetricSums, name: str, **labels: str) -> float:
    return values(sums)[name, (*labels.items(),)]


SECONDS = st.floats(0, 1e9, allow_nan=False, allow_subnormal=False)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("counts"), st.integers(0, 3), SECONDS),
        st.tuples(st.just("reports"), st.integers(0, 3), st.none()),
        st.tuples(st.just("dies"), st.integers(0, 3), st.none()),
    ),
    max_size=60,
)


@given(EVENTS)
def test_no_counter_falls_and_no_reported_count_is_lost_when_processes_die(
    events: list[tuple[str, int, float | None]],
) -> None:
    sums = MetricSums()
    counts = dict.fromkeys(range(4), 0.0)
    reported = dict.fromkeys(range(4), Fraction())
    dead = Fraction()
    shown = 0.0
    for event, worker, more in events:
        if event == "counts" and more is not None:
            counts[worker] += more
        elif event == "reports":
            sums.reported(worker, counted(counts[worker]))
            reported[worker] = Fraction(counts[worker])
        else:
            sums.died(worker)
            dead += reported[worker]
            counts[worker], reported[worker] = 0.0, Fraction()
        now = values(sums).get(("items_total", ()), 0.0)
        assert now >= shown
        assert now == float(dead + sum(reported.values()))
        shown = now


def test_counters_and_histograms_include_dead_processes() -> None:
    sums = MetricSums()
    for worker, latency in enumerate((0.5, 1.5, 1.5)):
        registry = CollectorRegistry()
        Counter("calls", "Calls.", ["code"], registry=registry).labels("OK").inc(worker + 1)
        ItemHistogram("seconds", "Seconds.", [1.0], registry).only.observe(latency, 10)
        sums.reported(worker, report(registry))
    sums.died(2)
    assert value(sums, "calls_total", code="OK") == 6
    assert value(sums, "seconds_bucket", le="1.0") == 10
    assert value(sums, "seconds_bucket", le="+Inf") == 30
    assert value(sums, "seconds_count") == 30
    assert value(sums, "seconds_sum") == 35


def test_the_latest_exemplar_of_all_processes_is_shown() -> None:
    sums = MetricSums()
    registries = [CollectorRegistry() for _ in range(2)]
    for worker, registry in enumerate(registries):
        series = ItemHistogram("seconds", "Seconds.", [1.0], registry).only
        series.observe(0.5)
        series.exemplify(0.5, {"trace_id": str(worker)})
    for worker in (1, 0):
        sums.reported(worker, json.loads(json.dumps(report(registries[worker]))))
    sums.died(1)
    (histogram,) = sums.metrics()
    found = {it.labels["le"]: it.exemplar for it in histogram.samples if it.exemplar}
    assert {le: (it.labels, it.value) for le, it in found.items()} == {
        "1.0": ({"trace_id": "1"}, 0.5)
    }


def test_gauges_are_summed_over_living_processes_only() -> None:
    sums = MetricSums()
    sums.reported(0, gauge("streams", 3))
    sums.reported(1, gauge("streams", 4))
    assert value(sums, "streams") == 7
    sums.died(0)
    assert value(sums, "streams") == 4
    sums.died(1)
    assert ("streams", ()) not in values(sums)


def test_an_info_stays_one_and_the_start_is_that_of_the_oldest_process() -> None:
    sums = MetricSums()
    for worker, began in enumerate((50.0, 20.0, 90.0)):
        sums.reported(worker, gauge("model_info", 1) + gauge("process_start_time_seconds", began))
    assert value(sums, "model_info") == 1
    assert value(sums, "process_start_time_seconds") == 20


def test_a_series_that_only_a_dead_worker_had_stays() -> None:
    sums = MetricSums()
    sums.reported(0, counted(5, outcome="ok"))
    sums.reported(1, counted(2, outcome="failed"))
    sums.died(1)
    assert value(sums, "items_total", outcome="failed") == 2
    assert value(sums, "items_total", outcome="ok") == 5


def test_a_death_before_any_report_changes_nothing() -> None:
    sums = MetricSums()
    sums.reported(0, counted(5))
    sums.died(1)
    assert value(sums, "items_total") == 5


def test_the_metrics_of_one_process_can_be_selected() -> None:
    sums = MetricSums()
    sums.reported(0, gauge("streams", 3))
    sums.reported(1, gauge("streams", 4))
    assert [sums.of(worker, "streams") for worker in (0, 1, 2)] == [3, 4, 0]


def test_the_page_of_one_process_equals_its_registry_after_json() -> None:
    registry = CollectorRegistry()
    Counter("calls", "Calls.", ["code"], registry=registry).labels("OK").inc(2)
    Gauge("streams", "Streams.", registry=registry).set(1)
    Info("build", "Build.", registry=registry).info({"version": "1"})
    histogram = ItemHistogram("seconds", "Seconds.", [0.1, 1.0], registry)
    histogram.only.observe(0.25, 3)
    sums = MetricSums()
    sums.reported(0, json.loads(json.dumps(report(registry))))

    class Page(Collector):
        def collect(self) -> Any:
            return sums.metrics()

    page = CollectorRegistry()
    page.register(Page())
    ours = generate_latest(page).decode().splitlines()
    theirs = [
        line for line in generate_latest(registry).decode().splitlines() if "_created" not in line
    ]
    assert [line for line in ours if "_created" not in line] == theirs


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_deaths_in_any_order_change_no_sum(
    order: tuple[int, ...],
) -> None:
    sums = MetricSums()
    for worker, seconds in enumerate((0.1, 0.2, 1e16)):
        sums.reported(worker, counted(seconds))
    before = value(sums, "items_total")
    for worker in order:
        sums.died(worker)
        assert value(sums, "items_total") == before
