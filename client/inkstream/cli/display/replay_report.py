"""Reports a replay: a row for each glyph, figures over all of them, and tables for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from inkstream import RejectReason
from inkstream.cli.display.gallery import gallery
from inkstream.cli.display.ink_pictures import thumbnail
from inkstream.cli.terminal import percentiles_ms
from inkstream.cli.writing.player import Written
from inkstream.ink import Ink

_WRITERS_SHOWN = 10
_MISTAKES_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Row:
    """One glyph and its answer."""

    file: Path
    index: int
    """Place in the file, from 0."""
    ink: Ink
    reason: str | None
    """Name of the RejectReason, or INVALID_INK; None if the digit is not rejected."""
    digit: int | None = None
    """The best digit, even if it is rejected; None without ink."""
    confidence: float = 0.0
    seconds: float | None = None
    """Time from the last pen-up to the final answer; None if nothing was sent."""

    @classmethod
    def of(cls, file: Path, index: int, ink: Ink, written: Written) -> Row:
        """Make the row of an answered ink."""
        final = written.final
        if final is None:
            return cls(file, index, ink, RejectReason.NO_INK.name)
        reason = final.reason.name if final.reason else ("UNKNOWN" if final.rejected else None)
        digit = None if final.reason is RejectReason.NO_INK else final.digit
        return cls(file, index, ink, reason, digit, final.confidence, written.seconds)

    @property
    def label(self) -> str | None:
        """What the glyph is, as its file says."""
        return self.ink.label

    @property
    def rejected(self) -> bool:
        """Whether the digit should not be trusted."""
        return self.reason is not None

    @property
    def is_labelled_digit(self) -> bool:
        """Whether the label is one of the digits 0 to 9."""
        return self.label is not None and len(self.label) == 1 and self.label in "0123456789"

    @property
    def is_correct(self) -> bool:
        """Whether the best digit is the label."""
        return self.digit is not None and str(self.digit) == self.label

    @property
    def is_mistake(self) -> bool:
        """Whether a digit was taken for another, or something else was not rejected."""
        if self.is_labelled_digit:
            return not self.is_correct
        return self.label is not None and not self.rejected

    def figures(self) -> dict[str, Any]:
        """Give the row for --json."""
        return {
            "file": str(self.file),
            "index": self.index,
            "label": self.label,
            "digit": self.digit,
            "confidence": round(self.confidence, 6),
            "rejected": self.rejected,
            "reason": self.reason,
            "writer": self.ink.writer,
        }


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Give the figures over all rows, for --json; None for shares of nothing."""
    times = [row.seconds for row in rows if row.seconds is not None]
    others = [row for row in rows if row.label is not None and not row.is_labelled_digit]
    latency = percentiles_ms(times, 50, 99)
    rejected = sum(row.rejected for row in rows)
    return {
        "glyphs": len(rows),
        "correct": sum(row.is_correct for row in rows),
        "rejected": rejected,
        "accuracy": accuracy(rows),
        "coverage": (len(rows) - rejected) / len(rows) if rows else None,
        "other_labels": len(others),
        "other_rejected": sum(row.rejected for row in others),
        "p50_ms": latency.get("p50"),
        "p99_ms": latency.get("p99"),
    }


def accuracy(rows: Sequence[Row]) -> float | None:
    """Give the share of glyphs labelled as digits whose best digit is the label; None without any."""
    labelled = sum(row.is_labelled_digit for row in rows)
    return sum(row.is_correct for row in rows) / labelled if labelled else None


def report(rows: Sequence[Row], console: Console) -> None:
    """Print figures, accuracy by label and by writer, and pictures of mistakes."""
    found = summary(rows)
    digits = [row for row in rows if row.is_labelled_digit]
    console.print(f"glyphs    {found['glyphs']:,}")
    if digits:
        console.print(f"accuracy  {_percent(found['accuracy'])}  best digit, rejected or not")
    if others := found["other_labels"]:
        rejected = found["other_rejected"]
        console.print(
            f"rejected  {_percent(rejected / others)}  of {others:,} whose label is no digit; "
            f"{others - rejected:,} passed as digits"
        )
    answered = accuracy([row for row in digits if not row.rejected])
    right = "" if answered is None else f"; {_percent(answered)} of these digits are right"
    latency = "unknown"
    if found["p50_ms"] is not None:
        latency = f"p50 {found['p50_ms']:.1f} ms, p99 {found['p99_ms']:.1f} ms"
    console.print(
        f"coverage  {_percent(found['coverage'])}  not rejected{right}\n"
        f"latency   {latency}, last pen-up to final answer\n"
    )
    labels = sorted({row.label for row in rows if row.label is not None})
    if labels:
        by_label = _grouped(rows, lambda row: row.label)
        console.print(_table("label", labels, by_label, mistaken=True))
    by_writer = _grouped(
        [row for row in digits if row.ink.writer is not None],
        lambda row: " ".join(filter(None, (row.ink.contributor, row.ink.writer))),
    )
    if len(by_writer) > 1:
        accuracies = {writer: accuracy(group) or 0.0 for writer, group in by_writer.items()}
        worst = sorted(by_writer, key=lambda writer: (accuracies[writer], writer))[:_WRITERS_SHOWN]
        console.print(_table(f"writer (worst of {len(by_writer)})", worst, by_writer))
        console.print(f"mean over writers {_percent(float(np.mean([*accuracies.values()])))}\n")
    _show_mistakes([row for row in rows if row.is_mistake], console)


def _table(
    title: str, keys: Sequence[str], groups: dict[Any, list[Row]], *, mistaken: bool = False
) -> Table:
    """Make a table of accuracy and coverage by key."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(title, overflow="fold")
    for name in ("glyphs", "accuracy", "coverage"):
        table.add_column(name, justify="right")
    if mistaken:
        table.add_column("taken for")
    for key in keys:
        group = groups[key]
        cells = [
            escape(key),
            f"{len(group):,}",
            _percent(accuracy(group)),
            _percent(sum(not row.rejected for row in group) / len(group)),
        ]
        if mistaken:
            wrong = Counter(row.digit for row in group if row.is_mistake)
            cells.append(
                ", ".join(
                    f"{'nothing' if digit is None else digit} ({count})"
                    for digit, count in wrong.most_common(3)
                )
            )
        table.add_row(*cells)
    table.add_row()
    return table


def _grouped(rows: Sequence[Row], key_of: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(key_of(row), []).append(row)
    return groups


def _show_mistakes(wrong: Sequence[Row], console: Console) -> None:
    """Show pictures of the mistakes with the highest confidence."""
    if not wrong:
        return
    console.print(f"The surest of {len(wrong):,} mistakes:")
    surest = sorted(wrong, key=lambda row: (row.rejected, -row.confidence))[:_MISTAKES_SHOWN]
    pictures = np.stack([thumbnail(row.ink) for row in surest])
    for table in gallery(pictures, [_caption(row) for row in surest], console):
        console.print(table)


def _caption(row: Row) -> Text:
    digit = "nothing" if row.digit is None else row.digit
    sure = f"rejected, {row.confidence:.0%}" if row.rejected else f"{row.confidence:.1%} sure"
    return Text(f"{row.label}, not {digit}\n{sure}", "yellow" if row.rejected else "red")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.2%}"
