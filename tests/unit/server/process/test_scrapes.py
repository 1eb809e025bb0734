from __future__ import annotations

import gzip
import threading
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inkstream_server.process.http_request import Request
from inkstream_server.process.scrapes import Form, Scrapes, form_of
from prometheus_client import CollectorRegistry, Counter, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

TEXT = Form(is_openmetrics=False, is_packed=False)
OPEN = Form(is_openmetrics=True, is_packed=False)
SECONDS = 20.0

PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;q=0.3,*/*;q=0.1"
)


def asked(**headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("GET", "/metrics", named, keeps_open=True)


@pytest.mark.parametrize(
    ("accept", "is_openmetrics"),
    [
        ("", False),
        ("text/plain;version=0.0.4", False),
        ("application/openmetrics-text", True),
        ("text/plain, application/openmetrics-text; version=1.0.0", True),
        (PROMETHEUS_3, True),
        ("application/openmetrics-text;version=0.0.1", False),
        ("application/openmetrics-text;version=1.0.0;q=0", False),
        ("application/openmetrics-text;version=" + "9" * 5000, False),
        ("application/openmetrics-text;version=x.y", False),
        (";;;=,=;,application/openmetrics-text\x7f", False),
    ],
)
def test_the_form_is_what_the_caller_accepts(accept: str, is_openmetrics: bool) -> None:
    assert form_of(asked(accept=accept)).is_openmetrics is is_openmetrics


@pytest.mark.parametrize(
    ("encoding", "is_packed"),
    [
        ("", False),
        ("GZIP", True),
        ("br, gzip;q=0.5", True),
        ("gzip;q=0", False),
        ("gzipped", False),
    ],
)
def test_the_page_is_packed_for_who_accepts_it(encoding: str, is_packed: bool) -> None:
    assert form_of(asked(accept_encoding=encoding)).is_packed is is_packed


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_headers_give_a_form(accept: str, encoding: str) -> None:
    form_of(asked(accept=f"application/openmetrics-text;{accept}", accept_encoding=encoding))


class Slow(Collector):
    """A collector that waits to be let go, and counts how often it was asked."""

    def __init__(self) -> None:
        self.count = 0
        self.begins = threading.Semaphore(0)
        self.goes_on = threading.Semaphore(0)

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        self.count += 1
        self.begins.release()
        assert self.goes_on.acquire(timeout=SECONDS)
        yield GaugeMetricFamily("computed", "How often.", self.count)


def test_all_scrapes_that_wait_share_one_computation_that_began_after_they_came() -> None:
    registry, slow = CollectorRegistry(), Slow()
    registry.register(slow)
    scrapes = Scrapes(registry)
    first = scrapes.ask(TEXT)
    assert slow.begins.acquire(timeout=SECONDS)
    others = [scrapes.ask(form) for form in (TEXT, TEXT, OPEN)]
    slow.goes_on.release(2)
    assert b"computed 1.0" in first.result(SECONDS).body
    pages = [it.result(SECONDS) for it in others]
    assert all(b"computed 2.0" in it.body for it in pages)
    assert pages[0] is pages[1]
    assert pages[2].kind.startswith("application/openmetrics-text")
    scrapes.close()


def test_a_cancelled_scrape_computes_nothing() -> None:
    registry, slow = CollectorRegistry(), Slow()
    registry.register(slow)
    scrapes = Scrapes(registry)
    first = scrapes.ask(TEXT)
    assert slow.begins.acquire(timeout=SECONDS)
    assert scrapes.ask(TEXT).cancel()
    slow.goes_on.release()
    first.result(SECONDS)
    slow.goes_on.release()
    scrapes.ask(TEXT).result(SECONDS)
    assert slow.count == 2
    scrapes.close()


def test_every_form_holds_the_same_page() -> None:
    registry = CollectorRegistry()
    Counter("pages", "Of a book.", registry=registry).inc(exemplar={"trace_id": "abc"})
    scrapes = Scrapes(registry)
    for is_openmetrics in (False, True):
        plain, packed = (
            scrapes.ask(Form(is_openmetrics, is_packed)).result(SECONDS)
            for is_packed in (False, True)
        )
        assert gzip.decompress(packed.body) == plain.body
        assert ("Content-Encoding", "gzip") in packed.headers
        assert (b"trace_id" in plain.body) is is_openmetrics
    scrapes.close()


def test_a_metric_that_fails_is_an_error_of_this_scrape_alone() -> None:
    class Failing(Slow):
        def collect(self) -> Iterable[Metric]:
            self.count += 1
            if self.count == 1:
                raise ValueError("broken")
            yield GaugeMetricFamily("computed", "How often.", self.count)

    registry = CollectorRegistry()
    registry.register(Failing())
    scrapes = Scrapes(registry)
    assert scrapes.ask(TEXT).result(SECONDS).status == 500
    assert b"computed 2.0" in scrapes.ask(TEXT).result(SECONDS).body
    scrapes.close()
