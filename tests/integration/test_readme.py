"""Runs the code of the README and compares the results."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.integration.conftest import RunningServer

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.M | re.S)


@pytest.fixture(autouse=True)
def in_the_root_of_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def typed(block: str, server: RunningServer) -> None:
    """Run a block of the README with another server port."""
    assert block.count('"localhost:50051"') == 1
    exec(block.replace("localhost:50051", server.address), {})


def test_the_first_five_lines_read_the_examples(
    server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len([line for line in BLOCKS[0].splitlines() if line]) == 5
    typed(BLOCKS[0], server)
    assert capsys.readouterr().out.split() == ["7", *map(str, range(10))]


def test_a_whole_session_of_a_pen_is_ten_lines(
    server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(BLOCKS[1], server)
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["provisional", "7"],
        ["final", "7"],
    ]
    assert len([line for line in BLOCKS[1].splitlines() if line]) <= 10


def test_links_lead_to_files() -> None:
    links = {link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", README)}
    assert {link for link in links if not Path(link).exists()} == set()
