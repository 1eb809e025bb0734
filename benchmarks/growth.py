"""Measures how speed and memory change with streams, packing, batch limit, load and idle streams."""

import os
import resource
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import click
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

from benchmarks.load import callers, h2load, wire
from benchmarks.load.digits import Digits, Wrong, mnist
from benchmarks.load.figures import (
    CPU,
    INKSTREAM,
    LATE,
    MEMORY,
    P50,
    P99,
    RATE,
    RAW,
    Figures,
    Rows,
    middle,
    ratio,
)
from benchmarks.load.h2load import Load
from benchmarks.report import machine, pictures
from benchmarks.servers import processes

IDLE_MEMORY = "kB a stream"
OPENING = "ms to open one"
TO_FLOOR = "x raw floor"

Cell = tuple[str, str, str]
"""Heading of a column; what was measured, and which figure the column shows."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """One quantity that grows, and the figures for it."""

    name: str
    """Its name on the command line and of its picture."""
    title: str
    about: str
    grows: str
    """The unit of the points."""
    points: Sequence[int]
    measure: Callable[[Digits, int], Mapping[str, Figures]]
    columns: Sequence[Cell]
    drawn: Sequence[Cell]
    """Lines of the picture."""
    logarithmic: str = "xy"
    """The logarithmic axes of the picture."""


def _streams(digits: Digits, count: int) -> Mapping[str, Figures]:
    return _beside_raw(digits, Load(count, 1, max(60, 20_000 // count)))


def _packing(digits: Digits, per_message: int) -> Mapping[str, Figures]:
    return _beside_raw(digits, Load(4, per_message, max(50, min(5000, 60_000 // per_message))))


def _beside_raw(digits: Digits, load: Load) -> Mapping[str, Figures]:
    with processes.floor("raw", load.per_message) as floor:
        measured = {RAW: h2load.flood(floor, digits, load)}
    with processes.server() as server:
        return measured | {INKSTREAM: h2load.flood(server, digits, load)}


def _batch_limit(digits: Digits, limit: int) -> Mapping[str, Figures]:
    # The load ignores the window, so small batches would reject it with a shorter queue.
    with processes.server("--max-batch", str(limit), "--max-queue", "1000000") as server:
        return {INKSTREAM: h2load.flood(server, digits, Load(16, 8, 800))}


def _offered(digits: Digits, rate: int) -> Mapping[str, Figures]:
    measured = {}
    for who, running in ((RAW, processes.floor("raw", 1)), (INKSTREAM, processes.server())):
        with running as target:
            callers.ask_all(target, digits, 8, 200, 1)
            measured[who] = callers.poisson(target, digits, rate=rate, seconds=3.0, streams=8)
    return measured


def _idle(digits: Digits, count: int) -> Mapping[str, Figures]:
    """Hold idle streams open; then each must still answer."""
    measured = {}
    for who, running in ((RAW, processes.floor("raw", 1)), (INKSTREAM, processes.server())):
        with running as target:
            callers.ask_all(target, digits, 8, 200, 1)
            before, began = target.resident_mb(), perf_counter()
            with wire.open_streams(target.address, count) as opened:
                opening = perf_counter() - began
                after = target.resident_mb()
                callers.ask_over(opened, target, digits, 1, 1)
        measured[who] = {
            MEMORY: after,
            IDLE_MEMORY: (after - before) / count * 1000,
            OPENING: opening / count * 1000,
        }
    return measured


_RATES: tuple[Cell, ...] = (
    ("raw floor, images/s", RAW, RATE),
    ("inkstream, images/s", INKSTREAM, RATE),
    (TO_FLOOR, INKSTREAM, TO_FLOOR),
    ("CPU us/image", INKSTREAM, CPU),
)
_BOTH: tuple[Cell, ...] = ((RAW, RAW, RATE), (INKSTREAM, INKSTREAM, RATE))

SWEEPS = (
    Sweep(
        "streams",
        "Streams",
        "One image a message, a connection a stream, as fast as the server takes them; opening the "
        "connections is part of the time.",
        "streams",
        (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
        _streams,
        (*_RATES, ("MB", INKSTREAM, MEMORY)),
        _BOTH,
        "x",
    ),
    Sweep(
        "packing",
        "Images a message",
        "Four streams, as fast as the server takes them.",
        "images a message",
        tuple(2**power for power in range(11)),
        _packing,
        (*_RATES, ("MB", INKSTREAM, MEMORY)),
        _BOTH,
    ),
    Sweep(
        "batches",
        "Batch limit",
        "`--max-batch`, with 16 streams that send 8 images a message.",
        "most images a batch",
        (1, 4, 16, 64, 256),
        _batch_limit,
        (("images/s", INKSTREAM, RATE), ("CPU us/image", INKSTREAM, CPU)),
        ((INKSTREAM, INKSTREAM, RATE),),
        "x",
    ),
    Sweep(
        "load",
        "Load offered",
        "Single images arrive at random (Poisson) on 8 streams. Latency counts from the moment at which "
        "an image should have left, whether or not the sender was in time.",
        "images/s offered",
        (1000, 2000, 4000, 6000, 8000, 10_000, 12_000, 14_000, 16_000),
        _offered,
        (
            ("raw floor, p50 ms", RAW, P50),
            ("p99 ms", RAW, P99),
            ("inkstream, p50 ms", INKSTREAM, P50),
            ("p99 ms", INKSTREAM, P99),
            ("sent late, p99 ms", INKSTREAM, LATE),
            ("raw floor, CPU us/image", RAW, CPU),
            ("inkstream, CPU us/image", INKSTREAM, CPU),
        ),
        ((RAW, RAW, P99), (INKSTREAM, INKSTREAM, P99)),
        "y",
    ),
    Sweep(
        "idle",
        "Idle streams",
        "Open, configured and silent, each on a connection of its own; then each sends one image and is "
        "answered.",
        "idle streams",
        (100, 500, 1000, 2000),
        _idle,
        (
            ("MB", INKSTREAM, MEMORY),
            ("raw floor, kB a stream", RAW, IDLE_MEMORY),
            (IDLE_MEMORY, INKSTREAM, IDLE_MEMORY),
            (OPENING, INKSTREAM, OPENING),
        ),
        ((INKSTREAM, INKSTREAM, MEMORY),),
        "",
    ),
)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rounds", default=3, show_default=True, help="Runs of each point, in turn.")
@click.option(
    "--only", type=click.Choice([sweep.name for sweep in SWEEPS]), help="Measure and print one."
)
@click.option(
    "--docs",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder that gets growth.md and pictures/growth-*.svg; without it nothing is written.",
)
def main(rounds: int, only: str | None, docs: Path | None) -> None:
    """Measure how speed and memory grow, and print tables in Markdown.

    \b
    Examples:
      python -m benchmarks.growth --docs docs         # all, about 12 minutes
      python -m benchmarks.growth --only idle --rounds 1
    """
    console = Console(stderr=True)
    if not h2load.is_installed():
        raise click.ClickException(h2load.MISSING)
    if only and docs:
        raise click.UsageError("--docs writes the whole page: leave out --only")
    _allow_connections()
    os.sched_setaffinity(0, {processes.LOAD_CORE})
    sweeps = [sweep for sweep in SWEEPS if only in {None, sweep.name}]
    try:
        results = measure(sweeps, rounds, console)
    except Wrong as wrong:
        raise click.ClickException(str(wrong)) from wrong
    page = [_heading(rounds), *(_section(sweep, results[sweep.name]) for sweep in sweeps)]
    click.echo("\n".join(page))
    if docs is not None:
        for sweep in sweeps:
            _draw(sweep, results[sweep.name], docs / _picture(sweep))
        (docs / "growth.md").write_text("\n".join(page))


def measure(sweeps: Sequence[Sweep], rounds: int, console: Console) -> dict[str, dict[int, Rows]]:
    """Run all points once a round; return all figures by sweep and point."""
    digits = mnist()
    results: dict[str, dict[int, Rows]] = {sweep.name: {} for sweep in sweeps}
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=rounds * sum(len(sweep.points) for sweep in sweeps))
        for _ in range(rounds):
            for sweep in sweeps:
                for point in sweep.points:
                    progress.update(task, description=f"{point:,} {sweep.grows}")
                    rows = results[sweep.name].setdefault(point, {})
                    for who, figures in sweep.measure(digits, point).items():
                        rows.setdefault(who, []).append(figures)
                    progress.advance(task)
    return results


def _allow_connections() -> None:
    """Raise the limit of open connections for this process and its servers as far as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _value(rows: Rows, cell: Cell) -> float:
    _, who, name = cell
    return ratio(rows[who], rows[RAW], RATE) if name == TO_FLOOR else middle(rows[who], name)


def _heading(rounds: int) -> str:
    about = machine.line()
    return (
        "# Growth\n\n"
        f"Medians of {rounds} rounds; the server has one core, the load another.\n{about}.\n\nRepeat with "
        "`.venv/bin/python -m benchmarks.growth --docs docs`, or one part with `--only NAME`.\n"
    )


def _section(sweep: Sweep, points: Mapping[int, Rows]) -> str:
    lines = [
        f"## {sweep.title}",
        f"{sweep.about} `--only {sweep.name}`\n",
        f"| {sweep.grows} | {' | '.join(heading for heading, _, _ in sweep.columns)} |",
        "|---" * (len(sweep.columns) + 1) + "|",
    ]
    for point, rows in points.items():
        values = (_shown(_value(rows, cell)) for cell in sweep.columns)
        lines.append(f"| {point:,} | {' | '.join(values)} |")
    return "\n".join([*lines, f"\n![{sweep.title}]({_picture(sweep)})\n"])


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _picture(sweep: Sweep) -> Path:
    return Path("pictures") / f"growth-{sweep.name}.svg"


def _draw(sweep: Sweep, points: Mapping[int, Rows], path: Path) -> None:
    pictures.draw_lines(
        path,
        title=sweep.title,
        across=(sweep.grows, list(points)),
        up=sweep.drawn[0][2],
        lines={cell[0]: [_value(rows, cell) for rows in points.values()] for cell in sweep.drawn},
        log=sweep.logarithmic,
    )


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.growth")
