from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """Undo `logs.configure`: it holds on to the stderr that a test captures."""
    yield
    structlog.reset_defaults()
