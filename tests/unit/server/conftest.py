from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog
from inkstream_server import logs


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """Undo `logs.configure`, which keeps the stderr that a test captures and the records of libraries."""
    root = logging.getLogger()
    level = root.level
    yield
    structlog.reset_defaults()
    root.removeHandler(logs._of_libraries)
    root.setLevel(level)
