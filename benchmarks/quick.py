"""`make bench-quick`: fails when the server is slower beside the floor than the committed ratios."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.cases import cases
from benchmarks.load import callers, h2load, library
from benchmarks.load.digits import Digits, Wrong, mnist
from benchmarks.load.figures import CPU, P50, RATE
from benchmarks.load.h2load import Load
from benchmarks.report import machine
from benchmarks.servers import processes
from benchmarks.servers.processes import Running

BASELINE = Path(__file__).with_name("baseline.json")
WORSE_AT_MOST = 0.25
TURNS = 5
TURNS_OF_SUSPECTS = 3

Cost = Callable[[Running, Digits], float]


@dataclass(frozen=True, slots=True)
class Case:
    """The cost of one task for the server and for the floor."""

    name: str
    server: Cost
    floor: Cost
    per_message: int = 1


def _flooded(name: str, load: Load) -> Case:
    # Processor time, because other programs on the machine hardly change it.
    def cost(target: Running, digits: Digits) -> float:
        return h2load.flood(target, digits, load)[CPU]

    return Case(name, cost, cost, load.per_message)


def _round_trip(target: Running, digits: Digits) -> float:
    return callers.round_trips(target, digits, 1000)[P50]


def _streamed(target: Running, digits: Digits) -> float:
    return 1 / library.async_stream(target, digits, 40_000)[RATE]


def _floor_of_one_stream(target: Running, digits: Digits) -> float:
    return 1 / h2load.flood(target, digits, Load(1, 1, 5000))[RATE]


CASES = (
    _flooded(cases.ONE_STREAM, Load(1, 1, 6000)),
    _flooded(cases.EIGHT_STREAMS, Load(8, 1, 800)),
    _flooded(cases.MANY_STREAMS, Load(64, 1, 120)),
    _flooded(cases.PACKED, Load(4, 64, 200)),
    Case(f"{cases.ROUND_TRIP}: p50", _round_trip, _round_trip),
    Case(f"{cases.ASYNC_STREAM}: time an image", _streamed, _floor_of_one_stream),
)


def measure(
    chosen: Sequence[Case], turns: int, digits: Digits, console: Console
) -> dict[str, list[float]]:
    """Return the costs of cases as multiples of the floor's, one a turn.

    All servers run throughout and take turns, so that a disturbance hits all of them.
    """
    ratios: dict[str, list[float]] = {case.name: [] for case in chosen}
    with ExitStack() as running:
        server = running.enter_context(processes.server())
        floors = {
            size: running.enter_context(processes.floor("raw", size))
            for size in {case.per_message for case in chosen}
        }
        runs = [case for _ in range(turns) for case in chosen]
        for case in track(runs, "measuring", console=console, transient=True):
            floor = case.floor(floors[case.per_message], digits)
            ratios[case.name].append(case.server(server, digits) / floor)
    return ratios


def _middle(turns: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: round(median(ratios), 3) for name, ratios in turns.items()}


def committed_for(processor: str, baselines: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return the ratios of this kind of processor, or the greatest of all kinds where it has none."""
    if processor in baselines:
        return dict(baselines[processor])
    names = [name for ratios in baselines.values() for name in ratios]
    return {name: max(it[name] for it in baselines.values() if name in it) for name in names}


def complaints(committed: Mapping[str, float], measured: Mapping[str, float]) -> list[str]:
    """Return a line for each case that costs too much, with its committed and measured ratio."""
    lines = []
    for name, ratio in measured.items():
        if name not in committed:
            lines.append(f"{name}: no ratio is committed; commit one with --update")
        elif ratio > committed[name] * (1 + WORSE_AT_MOST):
            more = ratio / committed[name] - 1
            lines.append(
                f"{name}: committed {committed[name]:.3g} x the floor, measured {ratio:.3g}, "
                f"{more:.0%} more (at most {WORSE_AT_MOST:.0%})"
            )
    return lines


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--update", is_flag=True, help=f"Write the measured ratios to {BASELINE.name}.")
def main(update: bool) -> None:
    """Compare the server's cost, as a multiple of the bare echo's, with the committed ratio.

    Each kind of processor has its own ratios; for a new kind the greatest ratios of all count.

    \b
    Examples:
      python -m benchmarks.quick             # fails if a case is a quarter worse
      python -m benchmarks.quick --update    # after a change that is worth its cost
    """
    if not h2load.is_installed():
        raise click.ClickException(h2load.MISSING)
    os.sched_setaffinity(0, {processes.LOAD_CORE})
    baselines = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    processor = machine.processor()
    committed = committed_for(processor, baselines)
    console, digits = Console(stderr=True), mnist()
    if processor not in baselines:
        console.print(
            f"No ratios are committed for {processor}: the greatest ratios of others count."
        )
    try:
        turns = measure(CASES, TURNS, digits, console)
        first = _middle(turns)
        suspects = [case for case in CASES if complaints(committed, {case.name: first[case.name]})]
        if suspects and not update:
            # Measure again with new processes: speed varies with where memory lies.
            for name, again in measure(suspects, TURNS_OF_SUSPECTS, digits, console).items():
                turns[name] += again
    except Wrong as wrong:
        raise click.ClickException(str(wrong)) from wrong
    measured = _middle(turns)
    table = Table("cost in multiples of the floor's", "committed", "measured", "least", "most")
    for name, ratios in turns.items():
        figures = (committed.get(name), measured[name], min(ratios), max(ratios))
        table.add_row(name, *("" if figure is None else f"{figure:.3g}" for figure in figures))
    Console(width=None if os.isatty(1) else 120).print(table)
    if update:
        BASELINE.write_text(json.dumps(baselines | {processor: measured}, indent=1) + "\n")
    elif slower := complaints(committed, measured):
        raise click.ClickException("\n".join(["slower than committed:", *slower]))


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.quick")
