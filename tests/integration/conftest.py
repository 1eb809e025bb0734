"""Real servers for tests: separate processes on free ports, stopped by a signal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import pytest
from prometheus_client.parser import text_string_to_metric_families

READY_SECONDS = 90.0
"""Longest time until a server is ready; TensorFlow alone takes 15 seconds to import."""

STOP_SECONDS = 30.0
"""Longest time of a drain: three times the server's default."""


class Metrics:
    """One scrape of the metrics."""

    def __init__(self, text: str) -> None:
        families = [*text_string_to_metric_families(text)]
        self._values = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }
        self._cumulative = {
            sample.name
            for family in families
            if family.type in ("counter", "histogram")
            for sample in family.samples
        }

    def fallen_since(self, before: Metrics) -> list[str]:
        """Return the counters and parts of histograms that are lower than before."""
        return [
            f"{name}{dict(labels)}: {value} -> {self._values.get((name, labels))}"
            for (name, labels), value in before._values.items()
            if name in before._cumulative and self._values.get((name, labels), -1) < value
        ]

    def value(self, name: str, **labels: str) -> float:
        """Give the value of one sample; a sample that does not exist is an error, not a zero."""
        return self._values[name, frozenset(labels.items())]

    def labels(self, name: str) -> list[dict[str, str]]:
        """Give the labels of every sample of this name."""
        return [dict(labels) for found, labels in self._values if found == name]

    def names(self) -> set[str]:
        """Give the names of all samples."""
        return {name for name, _ in self._values}

    def series(self, without: str) -> set[tuple[str, frozenset[tuple[str, str]]]]:
        """Return the name and labels of every sample without this label."""
        return {(name, labels) for name, labels in self._values if without not in dict(labels)}

    def total(self, name: str, **labels: str) -> float:
        """Give the sum over all samples of this name that have these labels."""
        wanted = labels.items()
        return sum(
            value
            for (found, labels_of), value in self._values.items()
            if found == name and wanted <= dict(labels_of).items()
        )


@dataclass
class RunningServer:
    """A server that is ready."""

    process: subprocess.Popen[bytes]
    address: str
    metrics_url: str
    pid: int
    stderr_file: Path
    ready_file: Path

    def metrics(self) -> Metrics:
        return Metrics(self.page("text/plain"))

    def page(self, accept: str) -> str:
        """Return the page for a scrape that requests a format."""
        asked = urllib.request.Request(self.metrics_url, headers={"Accept": accept})
        with urllib.request.urlopen(asked, timeout=10) as answer:
            text: bytes = answer.read()
            return text.decode()

    def stderr(self) -> str:
        return self.stderr_file.read_text()

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for the process to end by itself, and give its exit code."""
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            pytest.fail(f"the server did not stop within {STOP_SECONDS} s:\n{self.stderr()}")


@contextmanager
def running_server(
    folder: Path,
    *flags: str,
    program: Sequence[str] = (sys.executable, "-m", "inkstream_server"),
    environment: Mapping[str, str] = os.environ,
) -> Iterator[RunningServer]:
    """Run a server as long as the block lasts."""
    ready_file, stderr_file = folder / "ready.json", folder / "stderr.txt"
    command = [*program, "serve"]
    command += ["--port", "0", "--metrics-port", "0", "--ready-file", str(ready_file), *flags]
    settings = {"PORT", "METRICS_PORT", "HOST", "ENGINE", "MODEL", "READY_FILE"}
    unset = {f"INKSTREAM_{name}" for name in settings}
    settled = {name: value for name, value in environment.items() if name not in unset}
    with stderr_file.open("wb") as stderr:
        process = subprocess.Popen(command, stderr=stderr, env=settled)
    try:
        ready = _await_ready(process, ready_file, stderr_file)
        yield RunningServer(
            process,
            str(ready["address"]),
            str(ready["metrics"]),
            int(ready["pid"]),
            stderr_file,
            ready_file,
        )
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            code = process.wait(STOP_SECONDS)
            assert code == 0, f"the server ended with {code}:\n{stderr_file.read_text()}"
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    complaints = [
        line
        for line in stderr_file.read_text().splitlines()
        if "never retrieved" in line or "Traceback" in line or "was destroyed" in line
    ]
    assert not complaints, f"the server logged an error:\n{stderr_file.read_text()}"


def _await_ready(
    process: subprocess.Popen[bytes], ready_file: Path, stderr_file: Path
) -> dict[str, str | int]:
    give_up = monotonic() + READY_SECONDS
    while not ready_file.exists():
        try:
            # Also the pause between two checks; it ends early when the process does.
            code = process.wait(0.02)
        except subprocess.TimeoutExpired:
            code = None
        if code is not None and not ready_file.exists():
            pytest.fail(f"the server ended with {code}:\n{stderr_file.read_text()}")
        if monotonic() > give_up:
            pytest.fail(f"no server within {READY_SECONDS} s:\n{stderr_file.read_text()}")
    ready: dict[str, str | int] = json.loads(ready_file.read_text())
    return ready


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server with default settings, shared by all tests that do not change it."""
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


StartServer = Callable[..., RunningServer]


@pytest.fixture
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer]:
    """Start servers with the flags of a test: `start_server("--engine", "keras")`."""
    with ExitStack() as running:

        def start(*flags: str) -> RunningServer:
            folder = tmp_path_factory.mktemp("own-server")
            return running.enter_context(running_server(folder, *flags))

        yield start
