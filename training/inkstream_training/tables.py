"""Prints cards and evaluations as tables on stdout, for people."""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Column, Table

if TYPE_CHECKING:
    from inkstream_training.card import Card
    from inkstream_training.evaluate import Evaluation
    from inkstream_training.ink.figures import InkFigures

__all__ = ["print_card", "print_evaluation"]


def print_card(card: Card, folder: Path) -> None:
    """Print the results of training, and what to do next."""
    table = Table(
        "seed", "test", "held out", "temperature", "", title=f"{card.name}: test accuracy"
    )
    for one in card.seeds:
        held = "" if one.validation_accuracy is None else f"{one.validation_accuracy:.2%}"
        served = "served" if one.seed == card.seed else ""
        temperature = f"{one.temperature:.3f}"
        table.add_row(str(one.seed), f"{one.test_accuracy:.2%}", held, temperature, served)
    spread = "" if card.test_accuracy_sd is None else f" ± {card.test_accuracy_sd:.2%}"
    table.add_row("mean", f"{card.test_accuracy_mean:.2%}{spread}")
    for other in card.same_architecture:
        spread = "" if other.test_accuracy_sd is None else f" ± {other.test_accuracy_sd:.2%}"
        seeds = f"{other.seeds} seed{'s' if other.seeds > 1 else ''} of {other.recipe}"
        table.add_row(other.model, f"{other.test_accuracy_mean:.2%}{spread}", "", "", seeds)
    table.add_row("baseline", f"{card.baseline.accuracy:.2%}", "", "", card.baseline.source)
    console = _stdout()
    console.print(table)
    if card.gates is not None:
        console.print(_gates(card))
    if card.strokes is not None:
        console.print(_alone(card))
    console.print(f"ECE {card.metrics.ece:.2%}, {card.metrics.errors} errors", highlight=False)
    click.echo(f"{folder}\nNext: inkstream-train evaluate {folder}")


def print_evaluation(found: Evaluation) -> None:
    """Print every figure beside the card's, the confusion, and for ink the gates and the writers."""
    card = found.card
    figures = Table(_whole("figure"), "card", "measured", "", title=f"{card.name}/{card.version}")
    for figure in found.figures:
        mark = "[green]same[/]" if figure.agrees else "[red]differs[/]"
        figures.add_row(figure.name, _short(figure.stated), _short(figure.measured), mark)
    matrix = Table("written", *map(str, range(10)), title="Confusion: written (rows), answered")
    for digit, row in enumerate(found.confusion.tolist()):
        cells = (f"[bold]{n}[/]" if n and d != digit else str(n) for d, n in enumerate(row))
        matrix.add_row(str(digit), *(cell if cell != "0" else "" for cell in cells))
    console = _stdout()
    console.print(figures)
    console.print(matrix)
    if card.ink is not None:
        console.print(_writers(card.ink))
    if card.gates is not None:
        console.print(_gates(card))
    if card.strokes is not None:
        console.print(_alone(card))


def _stdout() -> Console:
    """Give a console as wide as the terminal, or wide enough for every name in a file or a pipe."""
    return Console(width=None if sys.stdout.isatty() else 110)


def _whole(heading: str) -> Column:
    """Make a column of names that are never cut, because many begin alike."""
    return Column(heading, overflow="fold")


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    return text if len(text) <= 13 else f"{text[:12]}…"


def _gates(card: Card) -> Table:
    """Make a table of the bounds beside each seed's figure and their mean."""
    seeds = [f"seed {one.seed}" for one in card.seeds]
    title = "Bounds for a model for ink"
    table = Table(_whole("gate"), "bound", *seeds, "mean", "", title=title)
    for name, gate in (card.gates or {}).items():
        bound = f"{'>=' if gate.at_least else '<='} {gate.limit:.1%}"
        mark = "[green]holds[/]" if gate.holds else "[red]fails[/]"
        each = (f"{value:.2%}" for value in gate.seeds)
        table.add_row(name, bound, *each, f"{gate.mean:.2%}", mark)
    return table


def _alone(card: Card) -> Table:
    """Make a table of what each network reads alone and what both read together, mean over the seeds."""
    table = Table(_whole("figure"), "image", "strokes", "together", title="Networks on ink, mean")
    seeds = [one for one in card.seeds if one.alone is not None and one.gates is not None]
    for name in seeds[0].alone["image"] if seeds and seeds[0].alone else ():
        each = [
            fmean(of[name] for of in column)
            for column in (
                [one.alone["image"] for one in seeds if one.alone],
                [one.alone["strokes"] for one in seeds if one.alone],
                [one.gates for one in seeds if one.gates],
            )
        ]
        table.add_row(name, *(f"{value:.2%}" for value in each))
    return table


def _writers(ink: InkFigures) -> Table:
    """Make a table of every held-out writer, the worst of a collection first."""
    table = Table("collection", "writer", "digits", "right", title="Pen digits by writer")
    for name, source in ink.sources.items():
        spread = f"{source.writer_mean:.2%} ± {source.writer_sd:.2%} a writer"
        table.add_row(name, spread, str(source.metrics.examples), f"{source.metrics.accuracy:.2%}")
        for writer, one in sorted(source.writers.items(), key=lambda item: item[1].accuracy):
            table.add_row("", writer, str(one.examples), f"{one.accuracy:.2%}")
    return table
