"""`make watch`: a server, and Debian's Prometheus that scrapes it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.patience import eventually
from tests.system.programs import program

WATCH = Path(__file__).parents[2] / "deploy" / "watch.sh"


@contextmanager
def watching(folder: Path, prometheus: str) -> Iterator[dict[str, str]]:
    """Run it until it has printed both addresses, yield its output, and interrupt it like a terminal."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TMPDIR": str(folder),
        "PROMETHEUS_ADDRESS": prometheus,
    }
    command = [str(WATCH), "--port", "0", "--metrics-port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as running:
        try:
            assert running.stdout is not None
            lines = [running.stdout.readline() for _ in range(2)]
            yield {line.split()[0]: line.split(None, 1)[1].strip() for line in lines}
        finally:
            os.killpg(running.pid, signal.SIGINT)
    assert running.returncode == 0
    assert not [*folder.iterdir()], "no file is left behind"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def asked(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        content: bytes = answer.read()
        return content


def api(address: str, path: str) -> Any:
    return json.loads(asked(f"http://{address}/api/v1/{path}"))["data"]


async def test_watch_prints_its_addresses_and_prometheus_scrapes_that_server(
    tmp_path: Path,
) -> None:
    program("prometheus")
    address = f"127.0.0.1:{free_port()}"
    with watching(tmp_path, address) as addresses:
        assert b"<title>inkstream" in asked(addresses["status"])
        assert addresses["Prometheus"] == f"http://{address}/alerts"
        assert api(address, "rules")["groups"]
        watched = {f"{addresses['status']}metrics", f"http://{address}/metrics"}
        await eventually(
            "Prometheus knows its targets",
            lambda: watched == {it["scrapeUrl"] for it in api(address, "targets")["activeTargets"]},
        )


def test_if_prometheus_cannot_listen_watch_reports_it_and_the_server_continues(
    tmp_path: Path,
) -> None:
    program("prometheus")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with watching(tmp_path, address) as addresses:
            assert addresses["Prometheus"].startswith("did not start")
            assert "address already in use" in addresses["Prometheus"]
            assert b"<title>inkstream" in asked(addresses["status"])
