"""Checks that each package has the licence, because a wheel contains only files of its own folder."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from inkstream_training.ink.sources import FILES

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("package", ["client", "server", "training"])
def test_a_package_names_and_carries_the_licence(package: str) -> None:
    project = tomllib.loads((ROOT / package / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    assert project["license-files"] == ["LICENSE"]
    assert (ROOT / package / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_the_page_of_data_names_each_source_that_models_learned_from() -> None:
    page = (ROOT / "docs" / "data.md").read_text().casefold()
    assert {file.source for file in FILES if file.source not in page} == set()
