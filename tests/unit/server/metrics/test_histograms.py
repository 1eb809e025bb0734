from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inkstream_server.metrics.histograms import ItemHistogram, Series
from prometheus_client import CollectorRegistry, Histogram, generate_latest

BOUNDS = [0.1, 0.5, 1.0, 2.5]

values = st.sampled_from(BOUNDS) | st.floats(0, 4)
observations = st.lists(st.tuples(values, st.integers(1, 50)), max_size=20)


def samples(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels.get("le", "")): sample.value
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@given(observations)
def test_a_weight_of_n_equals_n_observations_of_prometheus_client(
    weighed: list[tuple[float, int]],
) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    series = ItemHistogram("h", "help", BOUNDS, ours).only
    reference = Histogram("h", "help", buckets=BOUNDS, registry=theirs)
    for value, items in weighed:
        series.observe(value, items)
        for _ in range(items):
            reference.observe(value)
    assert samples(ours) == pytest.approx(samples(theirs))


@given(st.lists(values, max_size=60))
def test_an_array_counts_like_its_single_values(found: list[float]) -> None:
    array = np.array(found, np.float32)
    at_once, singly = Series(BOUNDS), Series(BOUNDS)
    at_once.observe_all(array)
    for value in array.tolist():
        singly.observe(value)
    assert at_once.counts == singly.counts
    assert at_once.total == pytest.approx(singly.total)


def steps_of(weight: int) -> int:
    """Count the calls and lines that one observation takes."""
    series = Series(BOUNDS)
    steps = 0

    def trace(*_: object) -> object:
        nonlocal steps
        steps += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        series.observe(0.3, weight)
    finally:
        sys.settrace(before)
    return steps


def test_a_thousand_items_cost_what_one_costs() -> None:
    assert steps_of(1) == steps_of(1000) > 0


def test_every_series_is_present_before_the_first_item() -> None:
    registry = CollectorRegistry()
    histogram = ItemHistogram(
        "seconds", "Some seconds.", BOUNDS, registry, ["kind", "way"], [("a", "up"), ("b", "down")]
    )
    histogram.series["b", "down"].observe(0.7, 3)
    for labels, count in (({"kind": "a", "way": "up"}, 0), ({"kind": "b", "way": "down"}, 3)):
        assert registry.get_sample_value("seconds_count", labels) == count
        assert registry.get_sample_value("seconds_bucket", {**labels, "le": "+Inf"}) == count
        assert registry.get_sample_value("seconds_bucket", {**labels, "le": "0.5"}) == 0
    with pytest.raises(KeyError):
        histogram.series["a", "down"]


def test_two_histograms_of_one_name_are_refused() -> None:
    registry = CollectorRegistry()
    ItemHistogram("seconds", "Some seconds.", BOUNDS, registry)
    with pytest.raises(ValueError, match="Duplicated"):
        ItemHistogram("seconds", "Some seconds.", BOUNDS, registry)


def test_prometheus_can_parse_the_histogram() -> None:
    registry = CollectorRegistry()
    ItemHistogram("seconds", "Some seconds.", [0.5], registry).only.observe(0.25, 4)
    lines = generate_latest(registry).decode().splitlines()
    assert "# TYPE seconds histogram" in lines
    assert 'seconds_bucket{le="0.5"} 4.0' in lines
    assert "seconds_sum 1.0" in lines
