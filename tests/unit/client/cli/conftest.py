from __future__ import annotations

import pytest
from inkstream.cli.writing import live_pens


@pytest.fixture(autouse=True)
def pens_write_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the pens of the demo write without pauses."""
    monkeypatch.setattr(live_pens, "_PACE", 1e6)
    monkeypatch.setattr(live_pens, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(live_pens, "_PATIENCE_SECONDS", 0.0)
