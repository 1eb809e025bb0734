"""Measures the memory that streams leave behind in a server, native memory included (grpc#43360)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.weighing import is_possible

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(not is_possible(), reason="the C library does not tell what it has given out")
@pytest.mark.parametrize(
    ("way", "most"),
    [
        ("half-closes", 40),
        ("cancels", 60),
        ("cancels-early", 90),
    ],
)
def test_a_stream_leaks_no_more_memory_than_grpc_itself(way: str, most: int) -> None:
    command = [sys.executable, "-m", "tests.integration.weighing", way]
    ended = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    assert float(ended.stdout) < most
