"""What the README shows is what happens when somebody types it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.integration.conftest import RunningServer

BLOCKS = re.findall(
    r"^```python\n(.*?)^```", (Path(__file__).parents[2] / "README.md").read_text(), re.M | re.S
)


def typed(block: str, server: RunningServer) -> None:
    """Run a block of the README against a server of the test's."""
    assert block.count('"localhost:50051"') == 1
    images = np.zeros((3, 28, 28), np.uint8)
    images[:, 4:24, 13:16] = 255
    names = {"image": images[0], "images": images}
    exec(block.replace("localhost:50051", server.address), names)


def test_images_are_recognised_as_shown(
    server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(BLOCKS[0], server)
    first, *others = capsys.readouterr().out.splitlines()
    assert first == "1"
    assert [line.split()[0] for line in others] == ["1"] * 3


def test_a_whole_session_of_a_pen_is_ten_lines(
    server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(BLOCKS[1], server)
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["provisional", "7"],
        ["final", "7"],
    ]
    assert len([line for line in BLOCKS[1].splitlines() if line]) <= 10
