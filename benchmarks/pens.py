"""Measures how many pens can write at once before provisional answers come late.

The server has one core, all pens another. Latency counts from the moment at which the pen should lift until
the answer is read, so a delay of the load generator is part of it.
"""

import json
import os
import sys
from pathlib import Path

import click
from inkstream.ink import Ink
from inkstream_server.config import BUNDLED
from rich.console import Console
from rich.table import Table

from benchmarks.load.live_pens import Writing, play
from benchmarks.load.writing import real_ink
from benchmarks.servers import processes

STEP = 1.25
"""Factor between two tries after the first that was late."""
MOST_PENS = 20_000


def search(
    inks: list[Ink],
    *,
    pens: int,
    per_stream: int,
    seconds: float,
    console: Console,
    flags: tuple[str, ...] = (),
) -> list[Writing]:
    """Find the largest number of pens that a server with these flags serves in time, from `pens` upwards.

    Doubles until late, then goes back by STEP until in time. Returns all runs.
    """
    runs = []

    def run(count: int) -> Writing:
        streams = max(1, count // per_stream)
        with console.status(f"{streams * per_stream:,} pens on {streams:,} streams"):
            writing = play(
                inks, pens=streams * per_stream, streams=streams, seconds=seconds, flags=flags
            )
        runs.append(writing)
        return writing

    while pens <= MOST_PENS and run(pens).is_on_time:
        pens *= 2
    while not runs[-1].is_on_time and pens > per_stream:
        pens = int(pens / STEP)
        run(pens)
    return runs


def _print(runs: list[Writing], console: Console) -> None:
    table = Table(
        *("pens", "streams", "packets/s", "p50 ms", "p99 ms", "worst ms", "late p99 ms"),
        *("core used", "right", "MB", "in time"),
        caption="late: how late the load generator sent, which is part of the latencies",
    )
    for run in sorted(runs, key=lambda run: (run.streams == run.pens, run.pens)):
        table.add_row(
            f"{run.pens:,}",
            f"{run.streams:,}",
            f"{run.packets_per_second:,.0f}",
            f"{run.p50_ms:.1f}",
            f"{run.p99_ms:.1f}",
            f"{run.worst_ms:.0f}",
            f"{run.sent_late_p99_ms:.1f}",
            f"{run.cpu:.0%}",
            f"{run.right:.1%}",
            f"{run.resident_mb:.0f}",
            "yes" if run.is_on_time else "no",
        )
    console.print(table)


def write_into(page: Path, runs: list[Writing], per_stream: int) -> None:
    """Write the runs of a search into a page's table, with the most pens that are in time in bold.

    Args:
        page: holds the comments `<!-- pens N -->` and `<!-- end -->`, N being `per_stream`.
        runs: all of one search.
        per_stream: pens that share a stream.

    Raises:
        click.UsageError: the page lacks these comments.
    """
    begin, end = f"<!-- pens {per_stream} -->\n", "<!-- end -->"
    before, found, rest = page.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise click.UsageError(f"--page: expected {begin.strip()} and {end} in {page}")
    most = max((run.pens for run in runs if run.is_on_time), default=0)
    rows = ["| pens | streams | messages/s | p50 | p99 | core used | memory |"]
    rows += ["|---|---|---|---|---|---|---|"]
    for run in sorted(runs, key=lambda run: run.pens):
        pens = f"**{run.pens:,}**" if run.pens == most else f"{run.pens:,}"
        cells = [pens, f"{run.streams:,}", f"{run.packets_per_second:,.0f}"]
        cells += [f"{run.p50_ms:.1f} ms", f"{run.p99_ms:.1f} ms"]
        cells += [f"{run.cpu:.0%}", f"{run.resident_mb:.0f} MB"]
        rows.append(f"| {' | '.join(cells)} |")
    page.write_text("\n".join([before + begin.strip(), *rows, end]) + after)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--pens", type=int, help="Measure this number instead of searching.")
@click.option("--per-stream", default=1, show_default=True, help="Pens that share a stream.")
@click.option("--start", default=200, show_default=True, help="Number of pens to search from.")
@click.option("--seconds", default=12.0, show_default=True, help="How long each run writes.")
@click.option("--model", default="digits", show_default=True, metavar="NAME[/VERSION]")
@click.option("--model-store", type=click.Path(path_type=Path), default=BUNDLED)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option(
    "--page", type=click.Path(path_type=Path), help="Write the search into this page's table."
)
def main(
    pens: int | None,
    per_stream: int,
    start: int,
    seconds: float,
    model: str,
    model_store: Path,
    json_path: Path | None,
    page: Path | None,
) -> None:
    """Measure live pens: real ink at 100 points a second in packets of 50 ms, pauses at random.

    \b
    Examples:
      python -m benchmarks.pens                          # the most pens, a stream each
      python -m benchmarks.pens --per-stream 100 --start 1000 --page docs/performance.md
      python -m benchmarks.pens --pens 200 --seconds 30 --model digits/1
    """
    if page is not None and pens is not None:
        raise click.UsageError("--page: writes the table of a search, so leave out --pens")
    console = Console(width=None if sys.stdout.isatty() else 110)
    os.sched_setaffinity(0, {processes.LOAD_CORE})
    inks = real_ink()
    flags = ("--model", model, "--model-store", str(model_store))
    if pens is None:
        runs = search(
            inks, pens=start, per_stream=per_stream, seconds=seconds, console=console, flags=flags
        )
    else:
        streams = max(1, pens // per_stream)
        runs = [play(inks, pens=pens, streams=streams, seconds=seconds, flags=flags)]
    _print(runs, console)
    if json_path is not None:
        fields = Writing.__dataclass_fields__
        rows = [{name: getattr(run, name) for name in fields} for run in runs]
        json_path.write_text(json.dumps(rows, indent=1) + "\n")
    if page is not None:
        write_into(page, runs, per_stream)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.pens")
