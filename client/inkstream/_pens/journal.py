"""One pen on its way to the server: what waits to be sent, what waits for an answer, what to say again.

A stream that breaks, or is left, takes the server's memory of its pens along. So a line keeps every stroke
until the final answer that holds it, and can tell the next stream all that the last one knew.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from inkstream._exceptions import InkstreamError
from inkstream._pens.written import (
    OpenGlyph,
    Run,
    SentStroke,
    Waiting,
    joined,
    kind_of,
    stroke_begun,
    whole_strokes,
)
from inkstream._results.glyphs import GlyphResult
from inkstream.v1 import ink_pb2

_REMEMBERED = 8
"""Cleared digits of which late answers are recognised; a pen has one open digit at a time."""


class Reader(Protocol):
    """Who waits for a pen's results. Called in the thread of the connection; may not raise or block."""

    def deliver(self, result: GlyphResult) -> None:
        """An answer to one digit."""

    def fail(self, error: InkstreamError) -> None:
        """Something of the pen got no answer, or all of it."""

    def recheck(self) -> None:
        """Nothing came, but whoever waits should look whether there is anything left to wait for."""


class PenJournal:
    """One pen on its way to the server. The outbox's lock guards it."""

    __slots__ = (
        "_at",
        "erased",
        "glyphs",
        "glyphs_before",
        "glyphs_seen",
        "is_closed",
        "is_timed",
        "number",
        "opening",
        "owing",
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
        self.unanswered: dict[int, SentStroke] = {}
        """Strokes that belong to no final answer yet, in the order of writing."""
        self.owing: dict[int, int] = {}
        """Strokes that were erased, whose digit gets its final answer all the same: each with the digit's
        number, or a lower one; 0 where an answer is still to name it."""
        self.stroke = 0
        """The stroke that is open; 0 for none, or for one that the server has given up."""
        self.is_closed = False
        self.is_timed = False
        """Whether the writer tells the time of strokes, by a clock of his own."""
        self.erased: set[int] = set()
        """Strokes without a final answer whose erasure waits."""
        self.glyphs: dict[int, OpenGlyph] = {}
        """Digits that were answered, but not finally."""
        self.glyphs_before = 0
        """Digits that the pen had on earlier streams."""
        self.glyphs_seen = 0
        """The greatest number of a digit so far."""
        self._at = 0
        """The last stroke whose beginning has left; 0 for none on this stream."""

    @property
    def is_owed(self) -> bool:
        """Whether a final answer is due."""
        return bool(self.unanswered or self.owing)

    def sent(self, event: Waiting) -> None:
        """Something leaves: keep what another stream would have to be told."""
        if isinstance(event, Run):
            if (written := self.unanswered.get(self._at)) is not None:
                written.sent.append(event)
            return
        kind = event.WhichOneof("event")
        if kind == "stroke_begin":
            self._at = event.stroke_begin.stroke
        elif kind == "stroke_remove":
            self.erased.discard(event.stroke_remove.stroke)
            return
        elif kind == "glyph_end":
            self._end_glyph_before(self._at + 1)
            return
        elif kind != "stroke_end":
            return
        if (written := self.unanswered.get(self._at)) is not None:
            written.sent.append(event)

    def strike(self, strokes: Iterable[int]) -> None:
        """These strokes are answered, or will never be; the open one among them is over."""
        for stroke in strokes:
            self.owing.pop(stroke, None)
            written = self.unanswered.pop(stroke, None)
            if written is not None and written.ends_glyph:
                self._end_glyph_before(stroke)
            if stroke == self.stroke:
                self.stroke = 0

    def erase(self, strokes: Iterable[int]) -> None:
        """The writer takes strokes back; an event that waits says so to the server."""
        gone = [stroke for stroke in strokes if stroke in self.unanswered]
        owing = {stroke: self._owner(stroke) for stroke in gone}
        self.erased.update(gone)
        self.strike(gone)
        self.owing.update(owing)
        for seen in self.glyphs.values():
            if not seen.strokes.isdisjoint(gone):
                # Its next answer is news, even if it had looked like this before.
                seen.settled = ()

    def placed(self, glyph: int, strokes: Iterable[int]) -> None:
        """The server says what a digit holds."""
        if self.owing:
            self.owing.update(dict.fromkeys(self.owing.keys() & strokes, glyph))

    def erased_from(self, glyph: int, strokes: Iterable[int]) -> list[int]:
        """The erased strokes that are settled by the final answer to a digit, which holds these."""
        # A stroke that ended was named by an answer before its digit is final, and digits come in order: what
        # is older than the last stroke of this one can belong to no later one.
        last = max(strokes, default=0)
        return [
            stroke for stroke, owner in self.owing.items() if 0 < owner <= glyph or stroke < last
        ]

    def clear(self) -> None:
        """The writer takes everything back."""
        self.strike([*self.unanswered, *self.owing])
        # Answers under way may still speak of what goes now, but of nothing much older.
        while len(self.glyphs) > _REMEMBERED:
            del self.glyphs[next(iter(self.glyphs))]

    def requeue_unanswered(self) -> None:
        """Put all that has left and is unanswered before what waits.

        What waits and made sense only to the stream that is gone is dropped.
        """
        waiting = self._without_torn()
        self._owe_only(waiting)
        again: list[Waiting] = []
        owners = {stroke: glyph for glyph, seen in self.glyphs.items() for stroke in seen.strokes}
        before = 0
        for stroke, written in self.unanswered.items():
            owner = owners.get(stroke, 0)
            if 0 < before < owner:
                # The server that is gone had seen a pause, or a gap, that the next one may not.
                again.append(self._event("glyph_end"))
            before = owner
            again += joined(written.sent)
            if written.ends_glyph:
                again.append(self._event("glyph_end"))
            written.is_resent |= bool(written.sent)
            written.sent = []
            written.ends_glyph = False
        if self.is_closed and not any(kind_of(event) == "close" for event in waiting):
            waiting.append(self._event("close"))
        self.waiting = whole_strokes(again + waiting)
        self._at = 0
        for seen in self.glyphs.values():
            seen.is_resent = True

    def open(self) -> None:
        """A stream is told of the pen: it numbers the pen's digits from 1."""
        self.glyphs = {
            number: seen
            for number, seen in self.glyphs.items()
            if not seen.strokes.isdisjoint(self.unanswered)
        }
        # Answers come in order, so what is still open is what comes next.
        self.glyphs_before = min(self.glyphs, default=self.glyphs_seen + 1) - 1

    def forget_sent(self) -> list[int]:
        """Give up what has left and is unanswered; returns those strokes. What waits whole is kept."""
        kept = {stroke_begun(event) for event in self.waiting}
        lost = [stroke for stroke in self.unanswered if stroke not in kept]
        self.waiting = whole_strokes(self.waiting)
        self._owe_only(self.waiting)
        self.strike(lost)
        self.glyphs.clear()
        self._at = 0
        return lost

    def date(self) -> None:
        """Tell when waiting strokes were written, where the writer does not.

        They will arrive together, so the server's clock cannot tell what pauses lay between them.
        """
        if self.is_timed:
            return
        if sum(1 for event in self.waiting if stroke_begun(event)) < 2:
            return
        written: SentStroke | None = None
        runs: list[Run] = []
        for event in self.waiting:
            if isinstance(event, Run):
                runs.append(event)
            elif (kind := event.WhichOneof("event")) == "stroke_begin":
                written, runs = self.unanswered.get(event.stroke_begin.stroke), []
                if written is not None:
                    event.stroke_begin.time_ms = max(1, round(written.began * 1000))
            elif kind == "stroke_end" and runs and written is not None:
                lasted = (written.lifted or written.began) - written.began
                for run in runs:
                    run.dt_ms = [0] * len(run.dx)
                runs[-1].dt_ms[-1] = round(lasted * 1000)

    def was_cut(self, result: GlyphResult, quiet_seconds: float, now: float) -> bool:
        """Whether a final answer came only because its server stops, not because the digit was done."""
        last = max(result.strokes, default=0)
        written = self.unanswered.get(last)
        if written is None or written.ends_glyph:
            return False
        if any(last < stroke <= self._at for stroke in self.unanswered):
            return False  # The next stroke began another digit.
        if written.lifted is None or not written.sent or kind_of(written.sent[-1]) != "stroke_end":
            return True
        return not self.is_closed and now - written.lifted < quiet_seconds

    def _owner(self, stroke: int) -> int:
        """The digit that a stroke without a final answer belongs to, as of `owing`."""
        for number, seen in self.glyphs.items():
            if stroke in seen.strokes:
                return number
        if self.unanswered[stroke].lifted is not None:
            return 0
        # No answer may ever name a stroke that did not end, but a digit is open, or begins with it.
        return min(self.glyphs, default=self.glyphs_seen + 1)

    def _end_glyph_before(self, stroke: int) -> None:
        """A digit ended behind a stroke that is gone: behind the one before, then, if there is one."""
        before = None
        for number, written in self.unanswered.items():
            if number >= stroke:
                break
            before = written
        if before is not None:
            before.ends_glyph = True

    def _owe_only(self, waiting: list[Waiting]) -> None:
        """The stream is gone: of what was erased, the next one is told only what waits."""
        begun = {stroke_begun(event) for event in waiting}
        self.owing = {stroke: owner for stroke, owner in self.owing.items() if stroke in begun}

    def _without_torn(self) -> list[Waiting]:
        """What waits, less what continues a stroke that will not be said again."""
        begun = {stroke_begun(event) for event in self.waiting}
        is_torn = self._at not in self.unanswered
        kept: list[Waiting] = []
        for event in self.waiting:
            kind = kind_of(event)
            if kind == "stroke_begin":
                is_torn = False
            elif is_torn and kind in ("points", "stroke_end"):
                continue
            elif kind == "stroke_remove" and not isinstance(event, Run):
                stroke = event.stroke_remove.stroke
                if stroke in self.erased and stroke not in begun:
                    self.erased.discard(stroke)
                    continue
            kept.append(event)
        return kept

    def _event(self, kind: str) -> ink_pb2.InkEvent:
        event = ink_pb2.InkEvent(pen=self.number)
        getattr(event, kind).SetInParent()
        return event
