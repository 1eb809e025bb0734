"""What a run of `make bench` says: tables for people, JSON for programs."""

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

from rich.table import Table

from benchmarks.figures import CPU, LATE, MEMORY, PERCENTILES, RATE, RAW, Rows, middle, ratio
from benchmarks.targets import TARGETS, Results

COLUMNS = (RATE, CPU, MEMORY, *PERCENTILES, LATE)
PRECISIONS = {RATE: ",.0f", CPU: ".1f", MEMORY: ".0f"}


def tables(results: Results) -> tuple[Table, Table]:
    """Give all medians, and beside each target what was measured."""
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


def processor() -> str:
    """Name the kind of processor, as far as the system does."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def machine() -> dict[str, object]:
    """Say what figures depend on."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "grpcio": version("grpcio"),
        "load_average": round(os.getloadavg()[0], 1),
    }


def write_json(results: Results, path: Path) -> None:
    """Write every figure of every round, and the targets."""
    measured = {target.what: target.measured(results) for target in TARGETS}
    content = {
        "machine": machine(),
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
