"""What a replay showed: a row a glyph, figures over all of them, and tables for people."""

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
    """One glyph."""

    file: str
    index: int
    """Its place in the file, from 0."""
    label: str | None
    digit: int | None
    """The best digit, even when rejected; None without ink."""
    confidence: float
    rejected: bool
    reason: str | None
    """Name of the RejectReason, or INVALID_INK; None where nothing is wrong."""
    writer: str | None
    contributor: str | None
    """The site that the writer belongs to."""
    seconds: float | None
    """From the last pen-up to the final answer; None where nothing was sent."""

    @classmethod
    def of(cls, file: Path, index: int, ink: Ink, written: Written) -> Row:
        """The row of an ink that was answered."""
        final = written.final
        if final is None:
            return cls.unread(file, index, ink, RejectReason.NO_INK.name)
        reason = final.reason.name if final.reason else ("UNKNOWN" if final.rejected else None)
        return cls(
            str(file),
            index,
            ink.label,
            None if final.reason is RejectReason.NO_INK else final.digit,
            final.confidence,
            final.rejected,
            reason,
            ink.writer,
            ink.contributor,
            written.seconds,
        )

    @classmethod
    def unread(cls, file: Path, index: int, ink: Ink, reason: str) -> Row:
        """The row of an ink that no model saw."""
        return cls(
            str(file), index, ink.label, None, 0.0, True, reason, ink.writer, ink.contributor, None
        )  # fmt: skip

    @property
    def is_correct(self) -> bool:
        """Whether the best digit is what the label says."""
        return self.digit is not None and str(self.digit) == self.label

    def figures(self) -> dict[str, Any]:
        """The row for --json."""
        return {
            "file": self.file,
            "index": self.index,
            "label": self.label,
            "digit": self.digit,
            "confidence": round(self.confidence, 6),
            "rejected": self.rejected,
            "reason": self.reason,
            "writer": self.writer,
        }


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """The figures over all rows, for --json; those of which there are none are None."""
    times = [row.seconds for row in rows if row.seconds is not None]
    latency = percentiles_ms(times, 50, 99)
    rejected = sum(row.rejected for row in rows)
    return {
        "glyphs": len(rows),
        "correct": sum(row.is_correct for row in rows),
        "rejected": rejected,
        "accuracy": accuracy(rows),
        "coverage": (len(rows) - rejected) / len(rows) if rows else None,
        "p50_ms": latency.get("p50"),
        "p99_ms": latency.get("p99"),
    }


def accuracy(rows: Sequence[Row]) -> float | None:
    """Share of the labelled glyphs whose best digit is their label; None where none is labelled."""
    labelled = sum(row.label is not None for row in rows)
    return sum(row.is_correct for row in rows) / labelled if labelled else None


def report(rows: Sequence[Row], inks: Sequence[Ink], console: Console) -> None:
    """Print figures, accuracy by digit and by writer, and pictures of mistakes.

    Args:
        rows: all of them.
        inks: what they are about, one each.
        console: where to.
    """
    found = summary(rows)
    console.print(
        f"glyphs    {found['glyphs']:,}\n"
        f"accuracy  {_percent(found['accuracy'])}  of the best digit, rejected or not\n"
        f"coverage  {_percent(found['coverage'])}  not rejected; of those "
        f"{_percent(accuracy([row for row in rows if not row.rejected]))} are right\n"
        f"latency   {_milliseconds(found)}, last pen-up to final answer\n"
    )
    labels = sorted({row.label for row in rows if row.label is not None})
    if labels:
        console.print(_table("label", labels, rows, lambda row: row.label, mistaken=True))
    writers = [(row.contributor, row.writer) for row in rows if row.writer is not None]
    if len(set(writers)) > 1:
        by_writer = _grouped(rows, lambda row: (row.contributor, row.writer))
        worst = sorted(set(writers), key=lambda who: (accuracy(by_writer[who]) or 0.0, str(who)))
        shares = [share for who in worst if (share := accuracy(by_writer[who])) is not None]
        names = {who: " ".join(filter(None, who)) for who in worst}
        console.print(
            _table(
                f"writer (worst of {len(worst)})",
                [names[who] for who in worst[:_WRITERS_SHOWN]],
                [row for who in worst[:_WRITERS_SHOWN] for row in by_writer[who]],
                lambda row: " ".join(filter(None, (row.contributor, row.writer))),
            )
        )
        if shares:
            console.print(f"mean over writers {_percent(float(np.mean(shares)))}\n")
    _show_mistakes(rows, inks, console)


def _table(
    title: str,
    keys: Sequence[str],
    rows: Sequence[Row],
    key_of: Callable[[Row], str | None],
    *,
    mistaken: bool = False,
) -> Table:
    """Accuracy and coverage by key."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(title, overflow="fold")
    for name in ("glyphs", "accuracy", "coverage"):
        table.add_column(name, justify="right")
    if mistaken:
        table.add_column("taken for")
    groups = _grouped(rows, key_of)
    for key in keys:
        group = groups[key]
        cells = [
            escape(key),
            f"{len(group):,}",
            _percent(accuracy(group)),
            _percent(sum(not row.rejected for row in group) / len(group)),
        ]
        if mistaken:
            wrong = Counter(row.digit for row in group if not row.is_correct)
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


def _show_mistakes(rows: Sequence[Row], inks: Sequence[Ink], console: Console) -> None:
    """Pictures of the surest mistakes."""
    wrong = [
        place for place, row in enumerate(rows) if row.label is not None and not row.is_correct
    ]
    if not wrong:
        return
    wrong.sort(key=lambda place: (rows[place].rejected, -rows[place].confidence))
    shown = wrong[:_MISTAKES_SHOWN]
    console.print(f"The surest of {len(wrong):,} mistakes:")
    pictures = np.stack([thumbnail(inks[place]) for place in shown])
    for row in gallery(pictures, [_caption(rows[place]) for place in shown], console):
        console.print(row)


def _caption(row: Row) -> Text:
    digit = "nothing" if row.digit is None else row.digit
    sure = f"rejected, {row.confidence:.0%}" if row.rejected else f"{row.confidence:.1%} sure"
    return Text(f"{row.label}, not {digit}\n{sure}", "yellow" if row.rejected else "red")


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.2%}"


def _milliseconds(found: dict[str, Any]) -> str:
    if found["p50_ms"] is None:
        return "unknown"
    return f"p50 {found['p50_ms']:.1f} ms, p99 {found['p99_ms']:.1f} ms"
