from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from numpy import linspace
from rich.console import Console

from benchmarks import cases, pictures, report
from benchmarks.figures import (
    CPU,
    INKSTREAM,
    P50,
    PERCENTILES,
    RATE,
    RAW,
    Rows,
    percentiles_ms,
    ratio,
)
from benchmarks.targets import TARGETS

ROUNDS: Rows = {
    RAW: [{RATE: 100.0, CPU: 10.0}, {RATE: 50.0, CPU: 20.0}, {RATE: 200.0, CPU: 5.0}],
    INKSTREAM: [{RATE: 110.0, CPU: 9.0}, {RATE: 60.0, CPU: 16.0}, {RATE: 190.0, CPU: 6.0}],
}
LATENCIES: Rows = {INKSTREAM: [dict.fromkeys(PERCENTILES, 7.0)]}
RESULTS = {cases.ONE_STREAM: ROUNDS, cases.POISSON: LATENCIES}


def test_a_ratio_is_that_of_one_round() -> None:
    assert ratio(ROUNDS[INKSTREAM], ROUNDS[RAW], RATE) == pytest.approx(1.1)


def test_percentiles_are_milliseconds() -> None:
    assert percentiles_ms(linspace(0, 1, 1001))[P50] == pytest.approx(500)


def test_targets_are_judged_and_those_not_measured_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "new" / "bench.json"
    report.write_json(RESULTS, path)
    judged = {
        target["what"]: target["is_met"] for target in json.loads(path.read_text())["targets"]
    }
    assert judged == {cases.ONE_STREAM: True, f"{cases.POISSON}: p99": False}


def test_tables_show_what_a_case_has() -> None:
    shown = StringIO()
    console = Console(width=200, file=shown)
    console.print(*report.tables(RESULTS), sep="\n")
    cells = [[cell.strip() for cell in line.split("│")] for line in shown.getvalue().splitlines()]
    (row,) = [row for row in cells if INKSTREAM in row and "110" in row]
    assert row[2:6] == [INKSTREAM, "110", "1.10", "9.0"]


def test_every_target_is_of_a_case() -> None:
    assert {target.case for target in TARGETS} <= {case.name for case in cases.CASES}


def test_the_picture_is_small(tmp_path: Path) -> None:
    pictures.draw_bench(RESULTS, tmp_path / "bench.svg")
    assert 1000 < (tmp_path / "bench.svg").stat().st_size < 60_000
