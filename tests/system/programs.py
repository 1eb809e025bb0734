"""Finds programs that tests need; if one is missing, its tests are skipped with the reason."""

from __future__ import annotations

import shutil

import pytest


def program(name: str) -> str:
    """Give a program's path, or skip."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed: as root, `make test-system` installs it by apt-get")
    return path
