from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

from rich.console import Console

from benchmarks.cases import cases
from benchmarks.load.figures import INKSTREAM
from benchmarks.report import tables
from tests.unit.benchmarks.results import RESULTS


def test_measured_targets_are_met_or_missed_and_others_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "new" / "bench.json"
    tables.write_json(RESULTS, path)
    is_met = {
        target["what"]: target["is_met"] for target in json.loads(path.read_text())["targets"]
    }
    assert is_met == {cases.ONE_STREAM: True, f"{cases.POISSON}: p99": False}


def test_tables_show_the_figures_of_a_case() -> None:
    shown = StringIO()
    console = Console(width=200, file=shown)
    console.print(*tables.tables(RESULTS), sep="\n")
    cells = [[cell.strip() for cell in line.split("│")] for line in shown.getvalue().splitlines()]
    (row,) = [row for row in cells if INKSTREAM in row and "110" in row]
    assert row[2:6] == [INKSTREAM, "110", "1.10", "9.0"]
