"""Servers that fail on demand, and the table of promises and results."""

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
from tests.system.promises import Promises

REPORT = Path(os.environ.get("INKSTREAM_FAULTS_REPORT", "plots/faults.md"))
"""The file into which the run writes its table."""


server = integration.server
start_server = integration.start_server


@pytest.fixture(scope="session")
def images(mnist: Mnist) -> Images:
    """A thousand digits."""
    return mnist[0][:1000]


@pytest.fixture(scope="session")
def promises() -> Iterator[Promises]:
    table = Promises("fault")
    yield table
    table.write(REPORT)


@dataclass
class FaultyServer:
    """A server whose engine a test controls."""

    running: RunningServer
    plan: Path

    def engine(self, words: str) -> None:
        """Set the engine's behaviour from its next batch on; see `faulty_server`."""
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
