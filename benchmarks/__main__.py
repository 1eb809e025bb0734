"""`make bench`: measures the server and a bare gRPC echo in turn, on one core; the load has the other."""

import os
from pathlib import Path

import click
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

from benchmarks.cases.cases import CASES, Case
from benchmarks.load import h2load
from benchmarks.load.digits import Digits, mnist
from benchmarks.load.figures import Rows
from benchmarks.report import tables
from benchmarks.servers import processes


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rounds", default=3, show_default=True, help="Runs of each case, in turn.")
@click.option("--only", multiple=True, metavar="TEXT", help="Cases with this in their name.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option("--picture", type=click.Path(path_type=Path), help="Draw them here: .svg or .png.")
def main(rounds: int, only: tuple[str, ...], json_path: Path | None, picture: Path | None) -> None:
    """Measure the server beside a bare grpc.aio echo of the same message sizes, in the same run.

    \b
    Examples:
      python -m benchmarks --json bench.json --picture bench.svg
      python -m benchmarks --rounds 1 --only stream
    """
    console = Console(stderr=True)
    chosen = [case for case in CASES if not only or any(text in case.name for text in only)]
    if not chosen:
        names = "\n  ".join(case.name for case in CASES)
        raise click.UsageError(f"no case has {' or '.join(only)} in its name; cases are\n  {names}")
    if not h2load.is_installed():
        console.print(f"{h2load.MISSING}: its cases are left out")
        chosen = [case for case in chosen if not case.needs_h2load]
    os.sched_setaffinity(0, {processes.LOAD_CORE})
    results, failures = measure(chosen, mnist(), rounds, console)
    Console(width=None if os.isatty(1) else 150).print(*tables.tables(results), sep="\n")
    if json_path is not None:
        tables.write_json(results, json_path)
    if picture is not None:
        from benchmarks.report import pictures  # matplotlib may be missing.

        pictures.draw_bench(results, picture)
    if failures:
        raise click.ClickException(
            "\n".join(["failed (a speed with wrong answers means nothing):", *failures])
        )


def measure(
    chosen: list[Case], digits: Digits, rounds: int, console: Console
) -> tuple[dict[str, Rows], list[str]]:
    """Run every case once a round, so that a disturbance spoils one round of several cases, not one case.

    Returns: figures by case and by what was measured, and the failures as text.
    """
    results: dict[str, Rows] = {}
    failures: list[str] = []
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=sum(1 if case.is_long else rounds for case in chosen))
        for number in range(rounds):
            for case in chosen:
                if case.is_long and number:
                    continue
                progress.update(task, description=case.name)
                try:
                    for who, figures in case.measure(digits).items():
                        results.setdefault(case.name, {}).setdefault(who, []).append(figures)
                except FileNotFoundError as missing:
                    if number == 0:
                        console.print(f"left out: {case.name} ({missing})")
                except (RuntimeError, ExceptionGroup) as failure:
                    failures.append(f"{case.name}: {failure!r}")
                progress.advance(task)
    return results, failures


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
