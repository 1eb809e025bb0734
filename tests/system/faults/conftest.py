"""Servers that fail on demand, and the table of what was promised and what was seen."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Mnist
from tests.integration import conftest as integration
from tests.integration.conftest import RunningServer, running_server
from tests.system.faults.traffic import Images

REPORT = Path(os.environ.get("INKSTREAM_FAULTS_REPORT", "plots/faults.md"))
"""Where the run writes its table."""


server = integration.server
start_server = integration.start_server


@pytest.fixture(scope="session")
def images(mnist: Mnist) -> Images:
    """A thousand digits."""
    return mnist[0][:1000]


class Promises:
    """The table of a run: a row for each fault that was injected."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, str, str]] = []

    def kept(self, fault: str, promise: str, seen: object) -> None:
        """Note that a promise was kept, and what was seen; to be called when the test knows it."""
        self._rows.append((fault, promise, str(seen)))

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = ["| fault | promise | seen |", "|---|---|---|"]
        lines += [f"| {' | '.join(row)} |" for row in self._rows]
        path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="session")
def promises() -> Iterator[Promises]:
    table = Promises()
    yield table
    table.write(REPORT)


@dataclass
class FaultyServer:
    """A server whose engine does what it is told."""

    running: RunningServer
    plan: Path

    def engine(self, words: str) -> None:
        """Say what the engine does from its next batch on; see `faulty_server`."""
        written = self.plan.with_suffix(".new")
        written.write_text(words)
        written.replace(self.plan)


StartFaulty = Callable[..., FaultyServer]


@pytest.fixture
def start_faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartFaulty]:
    """Start servers with an engine that fails on demand."""
    with ExitStack() as running:

        def start(*flags: str) -> FaultyServer:
            folder = tmp_path_factory.mktemp("faulty")
            plan = folder / "plan"
            plan.write_text("")
            program = (sys.executable, "-m", "tests.system.faults.faulty_server")
            environment = {**os.environ, "INKSTREAM_TEST_FAULT": str(plan)}
            server = running_server(folder, *flags, program=program, environment=environment)
            return FaultyServer(running.enter_context(server), plan)

        yield start
