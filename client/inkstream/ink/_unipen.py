"""Ink as UNIPEN (Guyon et al. 1994): keywords that begin with a dot, coordinates between them.

The ink must follow its `.SEGMENT`, as in UCI's pendigits-orig. A file that keeps its segments apart from
their ink, and refers to it by number, raises InvalidInk. y grows up, as in every set of UNIPEN's.
pendigits names the writer by `.COMMENT digit writer index`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inkstream.ink._errors import InvalidInk
from inkstream.ink._ink import Column, Ink, Stroke
from inkstream.ink._lines import Source
from inkstream.ink._numerals import rows_of

#: `.SEGMENT DIGIT 0 ? "8"`: hierarchy, delineation, quality, label; the last two may be absent.
_SEGMENT = re.compile(r'(\S+)(?:\s+(\S+))?(?:\s+(\S+))?(?:\s+"(.*)")?\s*')
_PENDIGITS = re.compile(r"(\d)\s+(\d+)\s+(\d{1,15})", re.ASCII)
#: Numbers of whole components, as "6" or "6-7"; "6:0-7:12" would be parts of components.
_COMPONENTS = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?", re.ASCII)
_COLUMNS = {"X": "x", "Y": "y", "T": "t_ms", "P": "pressure"}
_KEYWORDS = re.compile(
    r"\.(VERSION|COORD|COMMENT|DT|INCLUDE|LEXICON|HIERARCHY|WRITER_ID|DATA_SOURCE"
    r"|[XY]_POINTS_PER_MM|POINTS_PER_SECOND)"
)
_UNWRITABLE = re.compile(r'["\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]')


def read(source: Source) -> Iterator[Ink]:
    """Read segment by segment; ink before the first `.SEGMENT` is one ink without a label.

    Raises:
        InvalidInk: the file breaks the format.
    """
    reader = _Reader(source)
    for number, line in source.lines():
        text = line.strip()
        if text.startswith(".") and not text[1:2].isdigit():
            keyword, rest = (*text.split(None, 1), "")[:2]
            if keyword in (".PEN_DOWN", ".PEN_UP"):
                reader.pen(keyword == ".PEN_DOWN", rest, number)
            elif keyword == ".SEGMENT":
                yield from reader.finished(number)
                reader.segment(rest, number)
            else:
                reader.keyword(keyword, rest, number)
        elif text:
            reader.row(text, number)
    if not reader.understood:
        raise source.refuse("expected a keyword of UNIPEN, found none")
    yield from reader.finished()


@dataclass(slots=True)
class _PenDown:
    """The stroke that is being read: the line of its .PEN_DOWN, its rows, and the line of each."""

    line: int
    rows: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Segment:
    """What is known of the ink that is being read."""

    line: int
    label: str | None = None
    wanted: int | None = None
    index: int | None = None
    writer: str | None = None
    strokes: list[Stroke] = field(default_factory=list)


class _Reader:
    """The state that keywords have set so far."""

    def __init__(self, source: Source) -> None:
        self.begun = self.understood = False
        self._source = source
        self._columns = ["x", "y"]
        self._texts: dict[str, str | None] = {}
        self._numbers: dict[str, float | None] = {}
        self._open: _Segment | None = None
        self._drawn: _PenDown | None = None

    def segment(self, rest: str, line: int) -> None:
        """A piece of writing begins."""
        self.begun = self.understood = True
        found = _SEGMENT.fullmatch(rest)
        if not found:
            raise self._source.refuse('expected .SEGMENT HIERARCHY NUMBER QUALITY "LABEL"', line)
        delineation, label = found[2] or "?", found[4]
        wanted = None
        if delineation != "?":
            parts = [_COMPONENTS.fullmatch(part) for part in delineation.split(",")]
            if not all(parts):
                raise self._source.refuse(f"expected components, got {delineation[:80]!r}", line)
            wanted = sum(int(part[2] or part[1]) - int(part[1]) + 1 for part in parts if part)
        self._open = _Segment(line, label, wanted)

    def keyword(self, keyword: str, rest: str, line: int) -> None:
        """Any other keyword; ignores unknown ones."""
        self.begun = True
        self.understood |= _KEYWORDS.fullmatch(keyword) is not None
        if keyword == ".COORD":
            self._refuse_in_a_stroke(keyword, line)
            self._columns = self._named(rest, line)
        elif keyword == ".COMMENT":
            found = _PENDIGITS.fullmatch(rest)
            if found and self._open and self._open.label in (None, found[1]):
                self._open.writer, self._open.index = found[2], int(found[3])
        elif keyword in (".WRITER_ID", ".DATA_SOURCE"):
            self._texts[keyword] = None if rest in ("", "?") else _unquoted(rest)
        elif keyword in (".X_POINTS_PER_MM", ".Y_POINTS_PER_MM", ".POINTS_PER_SECOND"):
            self._numbers[keyword] = None if rest in ("", "?") else self._positive(rest, line)

    def pen(self, down: bool, rest: str, line: int) -> None:
        """The pen comes down or lifts; either ends a stroke."""
        self.begun = self.understood = True
        drawn, self._drawn = self._drawn, None
        if drawn is not None:
            self._stroke(drawn)
        if down:
            self._drawn = _PenDown(line)
            if rest:
                self.row(rest, line)

    def row(self, text: str, line: int) -> None:
        """A line without a keyword: a point if the pen is down, else ignored."""
        if self._drawn is None:
            if not self.begun:
                raise self._source.refuse("expected a UNIPEN keyword such as .PEN_DOWN", line)
            return
        if len(self._drawn.rows) >= self._source.limits.points:
            most = self._source.limits.points
            raise self._source.refuse(f"a stroke of more than {most} points", line)
        self._drawn.rows.append(text)
        self._drawn.lines.append(line)

    def finished(self, line: int = 0) -> Iterator[Ink]:
        """The ink of the segment that was open, if one was; `line` is that of the next .SEGMENT."""
        if line:
            self._refuse_in_a_stroke(".SEGMENT", line)
        elif self._drawn:
            raise self._source.refuse("the file ends before .PEN_UP", self._drawn.line)
        segment, self._open = self._open, None
        if segment is None:
            return
        strokes = len(segment.strokes)
        if not strokes or segment.wanted not in (None, strokes):
            raise self._source.refuse(
                f"expected the {segment.wanted or 1} strokes of this .SEGMENT after it, got {strokes}",
                segment.line,
            )
        across, along = (self._numbers.get(f".{a}_POINTS_PER_MM") for a in "XY")
        yield Ink(
            tuple(segment.strokes),
            y="up",
            per_mm=(across, along) if across and along else None,
            points_per_second=self._numbers.get(".POINTS_PER_SECOND"),
            label=segment.label,
            writer=segment.writer or self._texts.get(".WRITER_ID"),
            contributor=self._texts.get(".DATA_SOURCE"),
            index=segment.index,
        )

    def _stroke(self, drawn: _PenDown) -> None:
        if self._open is None:
            self._open = _Segment(drawn.line)
        if len(self._open.strokes) >= self._source.limits.strokes:
            most = self._source.limits.strokes
            raise self._source.refuse(f"more than {most} strokes", drawn.line)
        columns = dict(zip(self._columns, self._table(drawn).T, strict=True))
        self._open.strokes.append(
            Stroke(**{name: c for name, c in columns.items() if name in _COLUMNS.values()})
        )

    def _refuse_in_a_stroke(self, keyword: str, line: int) -> None:
        if self._drawn is not None:
            raise self._source.refuse(f"expected .PEN_UP before {keyword}", line)

    def _table(self, drawn: _PenDown) -> Column:
        """The rows as finite float64 of shape (rows, columns)."""
        rows, wide = drawn.rows, len(self._columns)
        try:
            # Convert all rows at once; only to find a bad one, check them one by one.
            table = np.array(" ".join(rows).split(), np.float64).reshape(len(rows), wide)
            if np.isfinite(table).all():
                return table
        except ValueError:
            pass
        for row, line in zip(rows, drawn.lines, strict=True):
            cells = row.split()
            try:
                good = len(cells) == wide and all(math.isfinite(float(cell)) for cell in cells)
            except ValueError:
                good = False
            if not good:
                raise self._source.refuse(f"expected {wide} numbers, got {row[:80]!r}", line)
        raise self._source.refuse(f"expected rows of {wide} numbers", drawn.line)

    def _named(self, rest: str, line: int) -> list[str]:
        columns = [_COLUMNS.get(name, name) for name in rest.split()]
        if not {"x", "y"} <= set(columns) or len(set(columns)) < len(columns):
            raise self._source.refuse(f".COORD: expected X, Y and more, got {rest[:80]!r}", line)
        return columns

    def _positive(self, text: str, line: int) -> float:
        try:
            value = float(text.split(maxsplit=1)[0])
        except ValueError:
            value = -1.0
        if not 0 < value < 1e9:
            raise self._source.refuse(f"expected a number above 0, got {text[:80]!r}", line)
        return value


def lines_of(inks: Iterable[Ink]) -> Iterator[str]:
    """Give the file's lines, without line breaks.

    Ink whose y grows down is flipped, so that every reader of UNIPEN sees it upright. The format cannot
    hold units and `extra`.

    Raises:
        InvalidInk: an ink has no stroke, or strokes with different columns; or a text cannot be written.
    """
    yield ".VERSION 1.0"
    written: dict[str, str] = {".COORD": "X Y"}
    yield ".COORD X Y"
    component = 0
    for number, ink in enumerate(inks):
        if not ink.strokes:
            raise InvalidInk(f"ink {number} has no stroke, and UNIPEN needs one")
        columns = {_named_columns(stroke) for stroke in ink.strokes}
        if len(columns) > 1:
            raise InvalidInk(f"ink {number} has times or pressures for some strokes only")
        pendigits = _fits_pendigits(ink)
        state: dict[str, Any] = {
            ".COORD": columns.pop(),
            ".WRITER_ID": None if pendigits else _quoted(ink.writer),
            ".DATA_SOURCE": _quoted(ink.contributor),
            ".X_POINTS_PER_MM": ink.per_mm and repr(float(ink.per_mm[0])),
            ".Y_POINTS_PER_MM": ink.per_mm and repr(float(ink.per_mm[1])),
            ".POINTS_PER_SECOND": ink.points_per_second and repr(float(ink.points_per_second)),
        }
        label = "" if ink.label is None else f" {_quoted(ink.label)}"
        kind = (
            "DIGIT" if ink.label and ink.label.isdecimal() and len(ink.label) == 1 else "CHARACTER"
        )
        last = component + len(ink.strokes) - 1
        span = f"{component}" if last == component else f"{component}-{last}"
        component = last + 1
        yield f".SEGMENT {kind} {span} ?{label}"
        for keyword, value in state.items():
            words = value or "?"
            if words != written.get(keyword, "?"):
                written[keyword] = words
                yield f"{keyword} {words}"
        if pendigits:
            yield f".COMMENT {ink.label} {ink.writer} {ink.index}"
        for stroke in ink.with_y("up").strokes:
            yield ".PEN_DOWN"
            yield from rows_of(stroke)
            yield ".PEN_UP"


def _fits_pendigits(ink: Ink) -> bool:
    """Whether `.COMMENT digit writer index` can hold label, writer and index."""
    words = f"{ink.label} {ink.writer} {ink.index}"
    return words.isascii() and _PENDIGITS.fullmatch(words) is not None


def _named_columns(stroke: Stroke) -> str:
    return "X Y" + " T" * (stroke.t_ms is not None) + " P" * (stroke.pressure is not None)


def _quoted(text: str | None) -> str | None:
    if text is None:
        return None
    if _UNWRITABLE.search(text):
        raise InvalidInk(
            f"{text[:80]!r} holds a quote or control character, which UNIPEN cannot hold"
        )
    return f'"{text}"'


def _unquoted(text: str) -> str:
    quoted = len(text) >= 2 and text[0] == text[-1] == '"'
    return text[1:-1] if quoted else text
