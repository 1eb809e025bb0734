"""Prints the figures of `make bench` as tables, and writes them as JSON."""

import json
from pathlib import Path

from rich.table import Table

from benchmarks.cases.targets import TARGETS, Results
from benchmarks.load.figures import CPU, LATE, MEMORY, PERCENTILES, RATE, RAW, Rows, middle, ratio
from benchmarks.report import machine

COLUMNS = (RATE, CPU, MEMORY, *PERCENTILES, LATE)
PRECISIONS = {RATE: ",.0f", CPU: ".1f", MEMORY: ".0f"}


def tables(results: Results) -> tuple[Table, Table]:
    """Return a table of all medians, and a table of targets beside what was measured."""
    speeds = Table("case", "who", RATE, "x raw floor", *COLUMNS[1:])
    for case, rows in results.items():
        for number, (who, runs) in enumerate(rows.items()):
            floor = rows[RAW] if RAW in rows and RATE in runs[0] else None
            speeds.add_row(
                case if number == 0 else "",
                who,
                _shown(rows, who, RATE),
                f"{ratio(runs, floor, RATE):.2f}" if floor else "",
                *(_shown(rows, who, name) for name in COLUMNS[1:]),
                end_section=number == len(rows) - 1,
            )
    wanted = Table("target", "wanted", "measured", "", "met")
    for target in TARGETS:
        measured = target.measured(results)
        if measured is not None:
            wanted.add_row(
                target.what,
                f"{'>=' if target.is_floor else '<='} {target.bound:,g}",
                f"{measured:,.4g}" if measured < 1000 else f"{measured:,.0f}",
                target.unit,
                "yes" if target.is_met_by(measured) else "[bold red]no[/]",
            )
    return speeds, wanted


def _shown(rows: Rows, who: str, name: str) -> str:
    runs = rows[who]
    return format(middle(runs, name), PRECISIONS.get(name, ".2f")) if name in runs[0] else ""


def write_json(results: Results, path: Path) -> None:
    """Write every figure of every round, and the targets."""
    measured = {target.what: target.measured(results) for target in TARGETS}
    content = {
        "machine": machine.facts(),
        "cases": results,
        "targets": [
            {
                "what": target.what,
                "bound": target.bound,
                "unit": target.unit,
                "measured": value,
                "is_met": target.is_met_by(value),
            }
            for target in TARGETS
            if (value := measured[target.what]) is not None
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")
