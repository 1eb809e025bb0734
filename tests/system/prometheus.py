"""Debian's Prometheus for tests: scrapes every second and answers PromQL."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from tests.system.programs import program

DEPLOY = Path(__file__).parents[2] / "deploy"
WINDOW = 20
"""Seconds that all windows of rules and dashboards are cut to, so that a short load fills them."""
READY_SECONDS = 30.0


def shortened(expression: str) -> str:
    """Give an expression, or a file of them, with all windows cut to `WINDOW`."""
    return re.sub(
        r"\[(?:\d+[smhdw]|\$__rate_interval|\$__range|\$__interval)\]", f"[{WINDOW}s]", expression
    )


@dataclass
class Prometheus:
    """A Prometheus that runs."""

    url: str

    def get(self, path: str, **parameters: str) -> Any:
        """Call the HTTP API."""
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            pytest.fail(f"{parameters}: {error.read().decode()}")

    def ask(self, expression: str, moment: float) -> list[tuple[dict[str, str], float]]:
        """Return labels and value of every series of an expression at a moment."""
        found = self.get("query", query=expression, time=str(moment))
        if found["resultType"] == "scalar":
            return [({}, float(found["result"][1]))]
        return [(it["metric"], float(it["value"][1])) for it in found["result"]]

    def scrapes(self, moment: float) -> list[float]:
        """Return the times of scrapes within the window before a moment."""
        query = f'up{{job="inkstream"}}[{WINDOW}s]'
        (series,) = self.get("query", query=query, time=str(moment))["result"]
        return [at for at, _ in series["values"]]


@contextmanager
def running_prometheus(folder: Path, target: str, *flags: str) -> Iterator[Prometheus]:
    """Run Prometheus with the project's rules over one server while the block lasts."""
    binary = program("prometheus")
    for name in ("rules.yml", "alerts.yml"):
        (folder / name).write_text(shortened((DEPLOY / "prometheus" / name).read_text()))
    configuration = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
    configuration = configuration.replace("_interval: 15s", "_interval: 1s")
    assert "127.0.0.1:9464" in configuration
    (folder / "prometheus.yml").write_text(configuration.replace("127.0.0.1:9464", target))
    command = [
        binary,
        f"--config.file={folder / 'prometheus.yml'}",
        "--web.listen-address=127.0.0.1:0",
    ]
    command += [f"--storage.tsdb.path={folder / 'data'}", "--log.level=info", *flags]
    log = folder / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=folder)
    try:
        yield Prometheus(f"http://{_address(process, log)}")
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder / "data", ignore_errors=True)


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Wait until it listens; return its port."""
    give_up = monotonic() + READY_SECONDS
    while monotonic() < give_up and process.poll() is None:
        text = log.read_text()
        found = re.search(r"Listening on\" address=(\S+)", text)
        if found and "Server is ready" in text:
            return found[1]
        sleep(0.05)
    pytest.fail(f"Prometheus did not start:\n{log.read_text()}")
