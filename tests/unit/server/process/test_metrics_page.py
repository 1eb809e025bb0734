from __future__ import annotations

import json
import os
import urllib.request
from pathlib import Path

import pytest
from inkstream_server.config import Config
from inkstream_server.errors import StartError
from inkstream_server.process.metrics_page import MetricsPage
from inkstream_server.process.ready_file import write_ready_file
from prometheus_client import CollectorRegistry, Gauge


def test_the_page_shows_what_is_registered_until_it_is_closed() -> None:
    registry = CollectorRegistry()
    Gauge("inkstream_streams", "Open.", registry=registry).set(3)
    page = MetricsPage(Config(metrics_port=0), registry)
    with urllib.request.urlopen(page.url, timeout=10) as answer:
        assert "inkstream_streams 3.0" in answer.read().decode()
    page.close()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(page.url, timeout=10)


def test_a_metrics_port_in_use_is_named() -> None:
    page = MetricsPage(Config(metrics_port=0), CollectorRegistry())
    port = int(page.url.split(":")[2].split("/")[0])
    with pytest.raises(
        StartError, match=rf"metrics_port: cannot listen on 127.0.0.1:{port} .*0 for"
    ):
        MetricsPage(Config(metrics_port=port), CollectorRegistry())
    page.close()


def test_the_ready_file_holds_the_servers_addresses(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    write_ready_file(path, "127.0.0.1:1", "http://127.0.0.1:2/metrics")
    assert json.loads(path.read_text()) == {
        "address": "127.0.0.1:1",
        "metrics": "http://127.0.0.1:2/metrics",
        "pid": os.getpid(),
    }
    assert [*tmp_path.iterdir()] == [path]


def test_a_ready_file_in_a_missing_folder_is_refused_and_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"ready_file: cannot write .*gone.*must exist"):
        write_ready_file(tmp_path / "gone" / "ready.json", "a", "b")
