from __future__ import annotations

import http.client
import re
from collections.abc import Iterator

import pytest
from inkstream_server.config import Config
from inkstream_server.process.metrics_page import MetricsPage
from prometheus_client import CollectorRegistry, Gauge


@pytest.fixture
def page() -> Iterator[MetricsPage]:
    registry = CollectorRegistry()
    Gauge("inkstream_streams", "Open.", registry=registry).set(3)
    page = MetricsPage(Config(metrics_port=0), registry)
    yield page
    page.close()


def ask(page: MetricsPage, path: str, method: str = "GET") -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(page.url.split("/")[2], timeout=10)
    connection.request(method, path)
    return connection.getresponse()


def test_the_page_for_people_loads_nothing_else(page: MetricsPage) -> None:
    answer = ask(page, "/")
    html = answer.read().decode()
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    outside = [
        it for it in re.findall(r"""(?:src|href|url\()=?["']?([^"' >]+)""", html) if ":" in it
    ]
    assert all(it.startswith("data:") for it in outside), outside


def test_the_policy_allows_only_the_pages_own_script(page: MetricsPage) -> None:
    policy = ask(page, "/").headers["Content-Security-Policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["frame-ancestors"] == "'none'"
    for kind in ("script-src", "style-src"):
        assert re.fullmatch(r"'sha256-[\w+/]{43}='", rules[kind])


def test_readiness_follows_the_server_and_health_does_not(page: MetricsPage) -> None:
    assert (ask(page, "/healthz").status, ask(page, "/readyz").status) == (200, 503)
    page.is_ready = True
    assert (ask(page, "/healthz").status, ask(page, "/readyz").status) == (200, 200)
    page.is_ready = False
    assert (ask(page, "/healthz").status, ask(page, "/readyz").status) == (200, 503)


def test_unknown_paths_and_posts_are_refused_with_the_fix(page: MetricsPage) -> None:
    assert ask(page, "/status.php").status == 404
    assert b"/metrics" in ask(page, "/etc/passwd").read()
    refused = ask(page, "/", "POST")
    assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/", "/metrics", "/healthz"])
def test_every_page_answers_head(page: MetricsPage, path: str) -> None:
    head, whole = ask(page, path, "HEAD"), ask(page, path)
    body = whole.read()
    assert (head.status, head.read()) == (200, b"")
    assert head.headers["Content-Type"] == whole.headers["Content-Type"]
    assert head.headers["Content-Length"] == str(len(body))
