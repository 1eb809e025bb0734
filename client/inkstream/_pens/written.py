"""The pieces of what a pen wrote: runs of points, events, and the state of strokes and digits."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from inkstream._pens.point_coder import Columns
from inkstream._results.glyphs import GlyphResult, GlyphState
from inkstream.v1 import ink_pb2

Kind: TypeAlias = Literal[
    "stroke_begin", "stroke_end", "stroke_remove", "glyph_end", "clear", "close"
]
"""What a pen does besides moving, as the contract names it."""

RUN_BYTES = 560
"""Most bytes that a run takes without its points: an object and four arrays (530 measured)."""
POINT_BYTES = 16
"""Most bytes of a point in a run: 4 + 4 + 4 + 2, and room to grow."""
ACT_BYTES = 200
"""Most bytes of an act that has an object of its own, with the set or dict that lists it."""


class Run:
    """Successive points of one stroke that leave in one event."""

    __slots__ = ("dt_ms", "dx", "dy", "pressure")

    def __init__(self, columns: Columns) -> None:
        dx, dy, dt_ms, pressure = columns
        self.dx, self.dy = array("i", dx), array("i", dy)
        self.dt_ms, self.pressure = array("I", dt_ms), array("H", pressure)

    def extend(self, columns: Columns) -> None:
        """Append points."""
        dx, dy, dt_ms, pressure = columns
        self.dx.extend(dx)
        self.dy.extend(dy)
        self.dt_ms.extend(dt_ms)
        self.pressure.extend(pressure)

    @property
    def columns(self) -> Columns:
        """Its points."""
        return self.dx, self.dy, self.dt_ms, self.pressure

    def split(self, most: int) -> Run:
        """Take the first `most` points out."""
        first = Run((self.dx[:most], self.dy[:most], self.dt_ms[:most], self.pressure[:most]))
        del self.dx[:most], self.dy[:most], self.dt_ms[:most], self.pressure[:most]
        return first


@dataclass(slots=True)
class Act:
    """Anything else that a pen does; much smaller than a message (60 bytes against 900)."""

    kind: Kind
    stroke: int = 0
    """The stroke that it begins or erases."""
    time_ms: int = 0
    """When the stroke began; 0 if that is unknown."""


STROKE_END, GLYPH_END, CLEAR, CLOSE = (
    Act("stroke_end"),
    Act("glyph_end"),
    Act("clear"),
    Act("close"),
)
"""Acts that say nothing more; all pens share them."""
Waiting: TypeAlias = Run | Act
"""What becomes one event of a message."""


STROKE_BYTES = 400
"""Most bytes of a stroke's state, less those of `sent`: 190 measured, and its place in a dict."""


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

    def keep(self, event: Waiting) -> int:
        """Something of it leaves; returns how many bytes more it holds.

        Its runs become one: a stroke that is written slowly leaves in many messages.
        """
        if isinstance(event, Run) and self.sent and isinstance(last := self.sent[-1], Run):
            last.extend(event.columns)
            return POINT_BYTES * len(event.dx)
        # A copy of its own, as the message is packed from the event only after this.
        self.sent.append(Run(event.columns) if isinstance(event, Run) else event)
        return bytes_of(event)

    @property
    def held_bytes(self) -> int:
        """Bytes that it holds, at most."""
        return STROKE_BYTES + sum(map(bytes_of, self.sent))

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


def kind_of(event: Waiting) -> str:
    """The contract's name of the event."""
    return "points" if isinstance(event, Run) else event.kind


def stroke_begun(event: Waiting) -> int:
    """The stroke that it begins; 0 for none."""
    return event.stroke if isinstance(event, Act) and event.kind == "stroke_begin" else 0


def stroke_removed(event: Waiting) -> int:
    """The stroke that it erases; 0 for none."""
    return event.stroke if isinstance(event, Act) and event.kind == "stroke_remove" else 0


def bytes_of(event: Waiting) -> int:
    """Bytes that an event holds, at most; shared acts are counted with their stroke or pen."""
    if isinstance(event, Run):
        return RUN_BYTES + POINT_BYTES * len(event.dx)
    return ACT_BYTES if event.stroke else 0


def pack(ink: ink_pb2.InkEvents, pen: int, event: Waiting) -> None:
    """Append an event to those of a message."""
    packed = ink.events.add(pen=pen)
    if isinstance(event, Run):
        points = packed.points
        points.dx.extend(event.dx)
        points.dy.extend(event.dy)
        points.dt_ms.extend(event.dt_ms)
        points.pressure.extend(event.pressure)
    elif event.kind == "stroke_begin":
        packed.stroke_begin.stroke = event.stroke
        packed.stroke_begin.time_ms = event.time_ms
    elif event.kind == "stroke_remove":
        packed.stroke_remove.stroke = event.stroke
    else:
        getattr(packed, event.kind).SetInParent()


def whole_strokes(waiting: list[Waiting]) -> list[Waiting]:
    """What a stream that has not opened the pen can use: all from the first stroke on."""
    for place, event in enumerate(waiting):
        if stroke_begun(event):
            return waiting[place:]
    # An end means nothing to a stream that has not carried the beginning.
    return []


def begun(stroke: int, time_ms: int, first: Columns) -> tuple[list[Waiting], int]:
    """The events that begin a stroke, and the bytes that it holds with them."""
    events: list[Waiting] = [Act("stroke_begin", stroke, time_ms), Run(first)]
    return events, STROKE_BYTES + sum(map(bytes_of, events))


def bytes_more(waiting: list[Waiting], points: int) -> int:
    """Bytes that it takes to `extend` these events by so many points."""
    is_run = bool(waiting) and isinstance(waiting[-1], Run)
    return POINT_BYTES * points + (0 if is_run else RUN_BYTES)


def extend(waiting: list[Waiting], columns: Columns) -> None:
    """Append points of the open stroke."""
    if waiting and isinstance(last := waiting[-1], Run):
        last.extend(columns)
    else:
        waiting.append(Run(columns))


def cut(waiting: list[Waiting], most: int) -> tuple[list[Waiting], list[Waiting], int]:
    """Cut events where their points reach `most`; returns both parts, and the points of the first."""
    points = place = 0
    while place < len(waiting) and points < most:
        each = waiting[place]
        if isinstance(each, Run):
            if len(each.dx) > most - points:
                each = each.split(most - points)
                waiting.insert(place, each)
            points += len(each.dx)
        place += 1
    return waiting[:place], waiting[place:], points


def points_in(waiting: Iterable[Waiting]) -> int:
    """Points that these events hold."""
    return sum(len(event.dx) for event in waiting if isinstance(event, Run))


def date(waiting: Iterable[Waiting], strokes: Mapping[int, SentStroke]) -> None:
    """Add the times at which waiting strokes were written. For writers that give no times of their own.

    They will arrive together, so the server's clock cannot show the pauses between them.
    """
    if sum(1 for event in waiting if stroke_begun(event)) < 2:
        return
    stroke: SentStroke | None = None
    runs: list[Run] = []
    for event in waiting:
        if isinstance(event, Run):
            runs.append(event)
        elif event.kind == "stroke_begin":
            stroke, runs = strokes.get(event.stroke), []
            if stroke is not None:
                event.time_ms = max(1, round(stroke.began * 1000))
        elif event.kind == "stroke_end" and runs and stroke is not None:
            seconds = (stroke.lifted or stroke.began) - stroke.began
            for run in runs:
                run.dt_ms = array("I", bytes(4 * len(run.dx)))
            runs[-1].dt_ms[-1] = round(seconds * 1000)
