"""Checks that the files, folders and modules which the documentation cites exist."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDERS = [
    ROOT,
    ROOT / "server" / "inkstream_server",
    ROOT / "client" / "inkstream",
    ROOT / "training" / "inkstream_training",
]
"""Pages cite paths from the root or from a package."""
MADE_BY_USERS = {"tls/", "plots/", "models/"}
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("[a-z]*/README.md")])


@pytest.fixture(params=PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def page(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_every_path_in_backticks_exists(page: Path) -> None:
    cited = re.findall(
        r"`((?:[\w.-]+/)+(?:[\w-]+\.(?:py|ya?ml|html))?)(?:::\w+)?`", page.read_text()
    )
    missing = {it for it in cited if not any((folder / it).exists() for folder in FOLDERS)}
    assert missing - MADE_BY_USERS == set()


def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text())
    assert {it for it in links if not (page.parent / it).exists()} == set()


def test_every_module_in_a_command_exists(page: Path) -> None:
    commands = re.findall(
        r"python -m\s+((?:benchmarks|tests|docs|inkstream\w*)\b[\w.]*\w)", page.read_text()
    )
    assert {it for it in commands if find_spec(it) is None} == set()


def test_every_test_in_a_command_exists(page: Path) -> None:
    named = re.findall(r"(?<![\w/])tests/[\w/.]*\w", page.read_text())
    assert {it for it in named if not (ROOT / it).exists()} == set()
