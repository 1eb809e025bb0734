from __future__ import annotations

from pathlib import Path

from benchmarks.report import pictures
from tests.unit.benchmarks.results import RESULTS


def test_the_picture_is_small(tmp_path: Path) -> None:
    pictures.draw_bench(RESULTS, tmp_path / "bench.svg")
    assert 1000 < (tmp_path / "bench.svg").stat().st_size < 60_000
