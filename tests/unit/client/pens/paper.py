"""A server without recognition, for property tests of packing ink."""

from __future__ import annotations

from inkstream._pens.outbox import MOST_POINTS
from inkstream.v1 import ink_pb2
from inkstream.v1 import recognition_service_pb2 as wire


class Glyph:
    """A digit as the server has it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.revision = 0
        self.strokes: dict[int, int] = {}
        """Points of each stroke."""


class Paper:
    """The server's side of a stream: asserts that events are valid, and lists the pending answers."""

    def __init__(self) -> None:
        self.glyphs: dict[int, Glyph | None] = {}
        """The open digit of each open pen."""
        self.counts: dict[int, int] = {}
        self.down: dict[int, int] = {}
        self.closed: set[int] = set()
        self.due: list[ink_pb2.GlyphResult] = []
        """Answers that have not arrived."""
        self.finished: list[tuple[int, dict[int, int]]] = []
        """Pen, and points of each stroke, of every digit whose final answer is pending or sent."""

    def read(self, message: wire.StreamRecognizeRequest) -> None:
        events = message.ink.events
        assert events, "a message without events"
        assert sum(len(event.points.dx) for event in events) <= MOST_POINTS
        for event in events:
            self._read(event)

    def pause(self, pen: int) -> None:
        """Let the quiet time of a pen pass."""
        if pen not in self.down:
            self._finish(pen)

    def _read(self, event: ink_pb2.InkEvent) -> None:
        pen, kind = event.pen, event.WhichOneof("event")
        assert pen not in self.closed, f"pen {pen} is closed"
        if kind == "open":
            assert pen not in self.glyphs, f"pen {pen} is open already"
            self.glyphs[pen] = None
            return
        glyph = self.glyphs[pen]
        if kind == "stroke_begin":
            assert pen not in self.down, "the tip is down"
            self.down[pen] = event.stroke_begin.stroke
            if glyph is None:
                self.counts[pen] = self.counts.get(pen, 0) + 1
                glyph = self.glyphs[pen] = Glyph(self.counts[pen])
            assert self.down[pen] not in glyph.strokes
            glyph.strokes[self.down[pen]] = 0
        elif kind == "points":
            assert glyph is not None
            glyph.strokes[self.down[pen]] += len(event.points.dx)
        elif kind == "stroke_end":
            del self.down[pen]
            self._owe(pen, ink_pb2.GLYPH_STATE_PROVISIONAL)
        elif kind == "stroke_remove":
            stroke = event.stroke_remove.stroke
            if self.down.get(pen) == stroke:
                del self.down[pen]
            if glyph is not None and glyph.strokes.pop(stroke, None) is not None:
                self._owe(pen, ink_pb2.GLYPH_STATE_PROVISIONAL)
            else:
                assert any(p == pen and stroke in held for p, held in self.finished), "never was"
        elif kind == "clear":
            self.down.pop(pen, None)
            self.glyphs[pen] = None
        elif kind == "glyph_end":
            assert pen not in self.down
            self._finish(pen)
        elif kind == "close":
            assert pen not in self.down
            self._finish(pen)
            self.closed.add(pen)

    def _owe(self, pen: int, state: ink_pb2.GlyphState) -> None:
        glyph = self.glyphs[pen]
        assert glyph is not None
        glyph.revision += 1
        result = ink_pb2.GlyphResult(pen=pen, glyph=glyph.number, revision=glyph.revision)
        result.state = state
        result.strokes.extend(glyph.strokes)
        self.due.append(result)

    def _finish(self, pen: int) -> None:
        if (glyph := self.glyphs[pen]) is not None:
            self._owe(pen, ink_pb2.GLYPH_STATE_FINAL)
            self.finished.append((pen, glyph.strokes))
            self.glyphs[pen] = None
