"""Debian's Prometheus over a server under load: compares rules and alerts with the load."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import time
from typing import Any

import grpc
import pytest
from inkstream_server.model_store.store import BUNDLED

from tests.certificates import Authority
from tests.integration.conftest import running_server
from tests.integration.contract import TRACE, call_within_a_trace, open_stream, stub
from tests.patience import eventually
from tests.system.conftest import Scene
from tests.system.programs import program
from tests.system.prometheus import running_prometheus

CLOSE = 0.02
"""Largest relative difference of rates from those that the load recorded."""

ONLY_ELSEWHERE = "inkstream_certificate_expiry|inkstream_tokens_refused"
"""Metrics of servers with TLS and with tokens, which have their own tests."""


def always_answering(alert: str) -> str:
    """Change an alert's expression so that it gives 0 instead of no series while the alert is quiet."""
    alert = re.sub(r"^absent\((.*)\)$", r"\1", alert)
    return re.sub(r" (==|>|<) ", r" \1 bool ", alert)


def test_names_types_and_units_follow_prometheus_conventions(scene: Scene) -> None:
    with urllib.request.urlopen(scene.server.metrics_url, timeout=10) as answer:
        page = answer.read()
    command = [program("promtool"), "check", "metrics"]
    done = subprocess.run(command, input=page, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_every_rule_and_alert_finds_its_series(scene: Scene) -> None:
    assert scene.moment  # By then, each has been evaluated.
    rules = [rule for group in scene.prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert len(rules) > 40
    for rule in rules:
        assert rule["health"] == "ok", rule
        is_alert = rule["type"] == "alerting"
        expression = always_answering(rule["query"]) if is_alert else rule["name"]
        if re.search(ONLY_ELSEWHERE, expression):
            continue
        found = scene.ask(expression)
        assert found, f"no data: {expression}"
        assert all(math.isfinite(value) for _, value in found), f"{expression}: {found}"


def test_rates_equal_the_load_that_was_sent(scene: Scene) -> None:
    ask = scene.ask
    by_ending = {
        (labels["kind"], labels["outcome"]): value
        for labels, value in ask("job_kind_outcome:inkstream_items:rate5m")
    }
    for ending, what in (
        (("tensor", "ok"), "good"),
        (("tensor", "invalid"), "invalid"),
        (("ink", "ok"), "glyphs"),
    ):
        assert by_ending.pop(ending) == pytest.approx(scene.sent(what), rel=CLOSE), ending
    assert not any(by_ending.values()), by_ending
    ((_, items),) = ask("job:inkstream_items:rate5m")
    assert items == pytest.approx(scene.sent("tensors") + scene.sent("glyphs"), rel=CLOSE)


def test_objectives_are_met_and_no_alert_pages(scene: Scene) -> None:
    ask = scene.ask
    assert ask("job:inkstream_items_unanswered:ratio_rate1h") == [
        ({"__name__": "job:inkstream_items_unanswered:ratio_rate1h", "job": "inkstream"}, 0.0)
    ]
    for kind in ("tensor", "ink"):
        ((_, half),) = ask(f'job_kind:inkstream_item_latency_seconds:p50_rate5m{{kind="{kind}"}}')
        ((_, most),) = ask(f'job_kind:inkstream_item_latency_seconds:p99_rate5m{{kind="{kind}"}}')
        assert 0 < half <= most
    ((_, batch),) = ask("job:inkstream_batch_size:mean_rate5m")
    assert 1 <= batch <= 256
    ((_, confidence),) = ask("job:inkstream_confidence:mean_rate1h")
    assert 0.1 <= confidence <= 1
    firing = {
        alert["labels"]["alertname"]
        for alert in scene.prometheus.get("alerts")["alerts"]
        if alert["state"] == "firing"
    }
    assert not firing - {
        "InkstreamItemsLate",
        "InkstreamRejectsDrift",
        "InkstreamConfidenceDrift",
    }, firing


def test_each_client_label_has_its_own_series(scene: Scene) -> None:
    found = {
        (labels["client"], labels["outcome"]): value
        for labels, value in scene.ask("rate(inkstream_client_items_total[20s])")
    }
    bad = scene.sent("invalid")
    assert found["tablet", "error"] == pytest.approx(bad, rel=CLOSE)
    assert found["tablet", "ok"] == pytest.approx(scene.sent("tablet") - bad, rel=CLOSE)
    assert found["kiosk", "ok"] == pytest.approx(scene.sent("kiosk"), rel=CLOSE)
    assert found["pens", "ok"] == pytest.approx(scene.sent("glyphs"), rel=CLOSE)
    assert not found["other", "ok"]


async def test_a_certificate_with_five_days_left_opens_a_ticket_and_does_not_page(
    tmp_path: Path,
) -> None:
    soon = datetime.now(UTC) + timedelta(days=5)
    certificate, key = Authority().server(ends=soon).write(tmp_path, "server")
    flags = ["--tls-cert", str(certificate), "--tls-key", str(key)]
    with (
        running_server(tmp_path, *flags) as server,
        running_prometheus(tmp_path, server.metrics_url.split("/")[2]) as prometheus,
    ):

        def alerts() -> dict[str, Any]:
            groups = prometheus.get("rules", type="alert")["groups"]
            (group,) = (it for it in groups if it["name"] == "inkstream-certificate-alerts")
            return {rule["name"]: rule for rule in group["rules"]}

        # It fires when it has been so for an hour.
        await eventually(
            "the alert's condition holds",
            lambda: alerts()["InkstreamCertificateExpires"]["state"] == "pending",
        )
        urgent = alerts()["InkstreamCertificateExpiresNow"]
        assert (urgent["health"], urgent["state"]) == ("ok", "inactive")
        left, _, _ = urgent["query"].partition(" < ")
        ((labels, seconds),) = prometheus.ask(left, time())
    assert labels["job"] == "inkstream"
    assert timedelta(days=4) < timedelta(seconds=seconds) < timedelta(days=5)


async def test_a_server_that_starts_beside_a_broken_version_opens_a_ticket(tmp_path: Path) -> None:
    for version in ("1", "4"):
        shutil.copytree(BUNDLED / "digits" / version, tmp_path / "store" / "digits" / version)
    newest = tmp_path / "store" / "digits" / "4" / "model.tflite"
    newest.write_bytes(newest.read_bytes()[:1000])
    with (
        running_server(tmp_path, "--model-store", str(tmp_path / "store")) as server,
        running_prometheus(tmp_path, server.metrics_url.split("/")[2]) as prometheus,
    ):

        def firing() -> set[str]:
            alerts = prometheus.get("alerts")["alerts"]
            return {it["labels"]["alertname"] for it in alerts if it["state"] == "firing"}

        await eventually("the alert fires", lambda: "InkstreamModelSwapFailed" in firing())


async def test_streams_refused_at_a_limit_open_a_ticket(tmp_path: Path) -> None:
    with (
        running_server(tmp_path, "--max-streams", "1") as server,
        running_prometheus(tmp_path, server.metrics_url.split("/")[2]) as prometheus,
    ):

        def state() -> str:
            groups = prometheus.get("rules", type="alert")["groups"]
            rules = {rule["name"]: rule for group in groups for rule in group["rules"]}
            return str(rules["InkstreamStreamsRefused"]["state"])

        looked = 'grpc_server_started_total{grpc_method="StreamRecognize"}'
        await eventually("Prometheus has scraped", lambda: prometheus.ask(looked, time()) != [])
        async with stub(server.address) as service:
            stays = await open_stream(service)
            for _ in range(20):
                with pytest.raises(grpc.aio.AioRpcError, match="its limit"):
                    await open_stream(service)
            # It fires when it has been so for five minutes.
            await eventually("the alert's condition holds", lambda: state() == "pending")
            await stays.finish()


async def test_prometheus_keeps_the_exemplars_of_latencies(tmp_path: Path) -> None:
    with (
        running_server(tmp_path, "--traces", "otlp", "--trace-ratio", "0") as server,
        running_prometheus(
            tmp_path, server.metrics_url.split("/")[2], "--enable-feature=exemplar-storage"
        ) as prometheus,
    ):
        began = str(time())
        await call_within_a_trace(server.address)

        def found() -> set[tuple[str, str]]:
            buckets = "inkstream_item_latency_seconds_bucket"
            shown = prometheus.get("query_exemplars", query=buckets, start=began, end=str(time()))
            return {
                (one["seriesLabels"]["kind"], exemplar["labels"]["trace_id"])
                for one in shown
                for exemplar in one["exemplars"]
            }

        kept = {("tensor", TRACE), ("ink", TRACE)}
        await eventually("Prometheus has scraped", lambda: found() == kept)
