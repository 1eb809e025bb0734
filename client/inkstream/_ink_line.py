"""One pen on its way to the server: what of it waits to be sent, and what waits for an answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeAlias

from inkstream._columns import Columns
from inkstream._exceptions import InkstreamError
from inkstream._glyphs import GlyphResult
from inkstream.v1 import ink_pb2


class Reader(Protocol):
    """Who waits for a pen's results. Called in the thread of the connection; may not raise or block."""

    def deliver(self, result: GlyphResult) -> None:
        """An answer to one digit."""

    def fail(self, error: InkstreamError) -> None:
        """Something of the pen got no answer, or all of it."""

    def look(self) -> None:
        """Nothing came, but whoever waits should look whether there is anything left to wait for."""


class Run:
    """Points of one stroke that follow each other and leave in one event."""

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
"""What one event of a message will hold."""


class Line:
    """One pen on its way to the server. The outbox's lock guards it."""

    __slots__ = (
        "glyphs",
        "glyphs_before",
        "glyphs_seen",
        "is_closed",
        "number",
        "opening",
        "reader",
        "stroke",
        "unanswered",
        "waiting",
    )

    def __init__(self, number: int, opening: ink_pb2.PenOpen, reader: Reader) -> None:
        self.number = number
        self.opening = opening
        """What opens the pen on a stream."""
        self.reader = reader
        self.waiting: list[Waiting] = []
        """What has not left yet."""
        self.unanswered: dict[int, None] = {}
        """Strokes that belong to no final answer yet, in the order of writing."""
        self.stroke = 0
        """The stroke that is open; 0 for none, or for one that the server has given up."""
        self.is_closed = False
        self.glyphs: dict[int, set[int]] = {}
        """Strokes of each digit that was answered, but not finally."""
        self.glyphs_before = 0
        """Digits that the pen had on earlier streams."""
        self.glyphs_seen = 0
        """The greatest number of a digit so far."""

    def strike(self, strokes: Iterable[int]) -> None:
        """These strokes are answered, or will never be; the open one among them is over."""
        for stroke in strokes:
            self.unanswered.pop(stroke, None)
            if stroke == self.stroke:
                self.stroke = 0

    @property
    def points(self) -> int:
        """Points that wait."""
        return sum(len(event.dx) for event in self.waiting if isinstance(event, Run))

    def forget_torn(self) -> None:
        """Drop what waits for a stroke whose beginning went elsewhere."""
        self.waiting = whole_strokes(self.waiting)


def whole_strokes(waiting: list[Waiting]) -> list[Waiting]:
    """What a stream that has not seen the pen can understand: all from the first stroke on."""
    for place, event in enumerate(waiting):
        if not isinstance(event, Run) and event.HasField("stroke_begin"):
            return waiting[place:]
    # An end is worth nothing to a stream that has not seen the beginning.
    return []
