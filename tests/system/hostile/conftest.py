"""One server for all attacks, and the table of results."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import conftest as integration
from tests.system.faults import conftest as faults
from tests.system.promises import Promises

REPORT = Path(os.environ.get("INKSTREAM_HOSTILE_REPORT", "plots/hostile.md"))
"""The file into which the run writes its table."""

server = integration.server
start_server = integration.start_server
images = faults.images


@pytest.fixture(scope="session")
def promises() -> Iterator[Promises]:
    table = Promises("input")
    yield table
    table.write(REPORT)
