"""The pieces of what a pen wrote: runs of points, events, and the state of strokes and digits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from inkstream._pens.point_coder import Columns
from inkstream._results.glyphs import GlyphResult, GlyphState
from inkstream.v1 import ink_pb2


class Run:
    """Successive points of one stroke that leave in one event."""

    __slots__ = ("dt_ms", "dx", "dy", "pressure")

    def __init__(self, columns: Columns) -> None:
        self.dx, self.dy, self.dt_ms, self.pressure = map(list, columns)

    def extend(self, columns: Columns) -> None:
        """Append points."""
        dx, dy, dt_ms, pressure = columns
        self.dx += dx
        self.dy += dy
        self.dt_ms += dt_ms
        self.pressure += pressure

    def split(self, most: int) -> Run:
        """Take the first `most` points out."""
        first = Run((self.dx[:most], self.dy[:most], self.dt_ms[:most], self.pressure[:most]))
        del self.dx[:most], self.dy[:most], self.dt_ms[:most], self.pressure[:most]
        return first


Waiting: TypeAlias = Run | ink_pb2.InkEvent
"""What becomes one event of a message."""


@dataclass(slots=True)
class SentStroke:
    """A stroke that has no final answer yet."""

    began: float
    """When it began, on the outbox's clock, in seconds."""
    lifted: float | None = None
    """When it ended; None while the pen is down."""
    sent: list[Waiting] = field(default_factory=list)
    """What of it has left: its beginning, its points, its end."""
    ends_glyph: bool = False
    """Whether the writer ended the digit after it, and that has left, too."""
    is_resent: bool = False
    """Whether an earlier stream carried it, too."""
    errors: frozenset[tuple[str, int]] = frozenset()
    """Fields and codes of errors about it that the reader has."""
    broken_streams: int = 0
    """Streams that broke while they carried it."""

    def repeats(self, field: str, code: int) -> bool:
        """Note an error about it; returns whether the reader has it from an earlier stream."""
        is_known = self.is_resent and (field, code) in self.errors
        self.errors |= {(field, code)}
        return is_known


@dataclass(slots=True)
class OpenGlyph:
    """A digit that was answered, but not finally."""

    strokes: set[int] = field(default_factory=set)
    """What it held in its last answer."""
    settled: tuple[int, ...] = ()
    """What its last provisional answer held."""
    revision: int = 0
    """The last one that the reader has."""
    is_resent: bool = False
    """Whether its strokes went to another stream, which has given the reader nothing new yet."""

    def is_known(self, result: GlyphResult) -> bool:
        """Whether a result only repeats what the reader has from an earlier stream."""
        known = self.settled[: len(result.strokes)]
        return self.is_resent and not result.is_final and result.strokes == known

    def note(self, result: GlyphResult) -> None:
        """The reader gets a result that is not final."""
        self.strokes = set(result.strokes)
        if result.state is GlyphState.PROVISIONAL:
            self.settled = result.strokes
        self.revision = result.revision
        self.is_resent = False


def kind_of(event: Waiting) -> str | None:
    """The contract's name of the event."""
    return "points" if isinstance(event, Run) else event.WhichOneof("event")


def stroke_begun(event: Waiting) -> int:
    """The stroke that it begins; 0 for none."""
    return 0 if isinstance(event, Run) else event.stroke_begin.stroke


def stroke_removed(event: Waiting) -> int:
    """The stroke that it erases; 0 for none."""
    return 0 if isinstance(event, Run) else event.stroke_remove.stroke


def whole_strokes(waiting: list[Waiting]) -> list[Waiting]:
    """What a stream that has not opened the pen can use: all from the first stroke on."""
    for place, event in enumerate(waiting):
        if stroke_begun(event):
            return waiting[place:]
    # An end means nothing to a stream that has not carried the beginning.
    return []


def points_in(waiting: Iterable[Waiting]) -> int:
    """Points that these events hold."""
    return sum(len(event.dx) for event in waiting if isinstance(event, Run))


def joined(sent: list[Waiting]) -> list[Waiting]:
    """The same events, neighbouring runs joined into one."""
    pieces: list[Waiting] = []
    for event in sent:
        if isinstance(event, Run) and pieces and isinstance(last := pieces[-1], Run):
            last.extend((event.dx, event.dy, event.dt_ms, event.pressure))
        else:
            pieces.append(event)
    return pieces
