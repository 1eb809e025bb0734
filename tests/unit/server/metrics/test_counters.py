"""`ItemCounter`: scraped like prometheus_client's own."""

from inkstream_server.metrics.counters import ItemCounter
from prometheus_client import CollectorRegistry, Counter, generate_latest


def test_a_counter_is_scraped_like_one_of_prometheus_client() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    counter = ItemCounter("cakes", "Cakes eaten.", ours, ["kind"], ["plum", "nut"])
    reference = Counter("cakes", "Cakes eaten.", ["kind"], registry=theirs)
    counter.series["plum"].inc(3)
    counter.series["plum"].inc()
    reference.labels("plum").inc(4)
    reference.labels("nut").inc(0)
    wanted = [line for line in generate_latest(theirs).splitlines() if b"_created" not in line]
    assert generate_latest(ours).splitlines() == wanted


def test_every_series_is_present_before_the_first_count() -> None:
    registry = CollectorRegistry()
    ItemCounter("cakes", "Cakes eaten.", registry, ["kind"], ["plum", "nut"])
    assert registry.get_sample_value("cakes_total", {"kind": "nut"}) == 0.0
