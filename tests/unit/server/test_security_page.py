"""The table of limits in docs/security.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from inkstream_server import transport
from inkstream_server.access import streams
from inkstream_server.config import settings

PAGE = (Path(__file__).parents[3] / "docs" / "security.md").read_text()


def test_every_limit_that_can_be_set_stands_with_its_default() -> None:
    defaults = {setting.name: setting.default for setting in settings()}
    rows = re.findall(r"\| [^|]+ \| ([\d.]+)[^|]* \| `--([a-z-]+)` \|", PAGE)
    assert {flag.replace("-", "_"): shown for shown, flag in rows} == {
        flag.replace("-", "_"): str(defaults[flag.replace("-", "_")]) for _, flag in rows
    }
    missing = {name for name in defaults if name.startswith("max_") and "restart" not in name}
    told = {flag.replace("-", "_") for _, flag in rows}
    assert missing - told <= {"max_batch", "max_frames_per_message"}


def test_fixed_limits_are_those_of_the_code() -> None:
    for shown in (
        f"{transport.HANDSHAKE_MS} ms",
        f"{transport.IDLE_CONNECTION_MS} ms",
        f"{transport.PING_STRIKES} closer than {transport.PING_INTERVAL_MS} ms",
        f"{streams.FIRST_MESSAGE_SECONDS} s",
    ):
        assert shown in PAGE
