from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator

import pytest
import structlog
from inkstream_server import logs


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """Undo `logs.configure`, which keeps the stderr that a test captures and the records of libraries."""
    root = logging.getLogger()
    level = root.level
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    yield
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    structlog.reset_defaults()
    root.removeHandler(logs._of_libraries)
    root.setLevel(level)
