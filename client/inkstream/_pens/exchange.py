"""The pens of one stream: packs what they did into messages and hands each its answers.

Pure: it knows neither sockets nor event loops.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from inkstream._exceptions import (
    InkstreamError,
    ProtocolError,
    RetryableError,
    from_item_error,
)
from inkstream._pens.journal import PenJournal
from inkstream._pens.outbox import InkOutbox
from inkstream._pens.written import OpenGlyph, Run, whole_strokes
from inkstream._results.glyphs import GlyphResult
from inkstream.ink import InvalidInk
from inkstream.v1 import error_pb2, ink_pb2
from inkstream.v1 import recognition_service_pb2 as wire

QUIET_MS = 600
"""A server's quiet time where a pen chose none; taken as known only to judge a server that stops."""


class InkExchange:
    """Pens that are open on one stream, from their first event there to their last answer."""

    def __init__(self, outbox: InkOutbox) -> None:
        self._outbox = outbox
        self._lines: dict[int, PenJournal] = {}
        self._highest = 0
        self.is_leaving = False
        """Whether the server stops: it ends digits that their writers have not ended."""
        self._cut: set[PenJournal] = set()
        """Pens of which such an end was passed over: the next stream answers them from there on."""

    def next_message(self, *, at_once: bool = False) -> wire.StreamRecognizeRequest | None:
        """Pack what is due into the next message; None where nothing is.

        Args:
            at_once: pack what waits even if it is not due.
        """
        taken = self._outbox.take(at_once=at_once)
        if not taken:
            return None
        message = wire.StreamRecognizeRequest()
        events = message.ink.events
        for line, waited in taken:
            is_new = line.number not in self._lines
            waiting = whole_strokes(waited) if is_new else waited
            if is_new and waiting:
                events.add(pen=line.number, open=line.opening)
                with self._outbox.lock:
                    line.open()
                self._lines[line.number] = line
                self._highest = max(self._highest, line.number)
            for each in waiting:
                if isinstance(each, Run):
                    points = events.add(pen=line.number).points
                    points.dx.extend(each.dx)
                    points.dy.extend(each.dy)
                    points.dt_ms.extend(each.dt_ms)
                    points.pressure.extend(each.pressure)
                else:
                    events.append(each)
            self._forget(line)
        return message if events else None

    def receive(self, response: wire.StreamRecognizeResponse) -> None:
        """Hand what a message says about pens to those who wrote.

        Raises:
            ProtocolError: it answers a pen that was never open on the stream.
        """
        # Nothing counts as answered before all is handed over: who reads in another thread must not
        # take a final answer for the last word when the message holds an error, too.
        answered: dict[PenJournal, list[int]] = {}
        for answer in response.glyphs:
            line = self._line_of(answer.pen)
            if line is not None:
                answered.setdefault(line, []).extend(self._deliver(line, answer))
        for refused in response.errors:
            if refused.WhichOneof("item") == "ink":
                line = self._line_of(refused.ink.pen)
                if line is not None:
                    answered.setdefault(line, []).extend(self._refuse(line, refused))
        for line, strokes in answered.items():
            if strokes:
                with self._outbox.lock:
                    line.strike(strokes)
                line.reader.recheck()
            self._forget(line)

    @property
    def is_owing(self) -> bool:
        """Whether the stream owes a final answer."""
        return any(line.is_owed for line in self._lines.values())

    def give_back(self, wreck: InkstreamError | None = None, most_broken: int = 0) -> None:
        """Leave what is unanswered to the next stream; what this one still answers is passed over.

        Args:
            wreck: how the stream broke; None where it did not.
            most_broken: streams that may have broken under one stroke; beyond, its pen fails with `wreck`.
        """
        lines, self._lines = self._lines, {}
        for line in lines.values():
            most = 0
            for written in line.unanswered.values():
                written.broken_streams += wreck is not None and bool(written.sent)
                most = max(most, written.broken_streams)
            if wreck is not None and most > most_broken:
                self._outbox.lose(line, wreck)
        self._outbox.requeue_unanswered(lines.values())

    def _deliver(self, line: PenJournal, answer: ink_pb2.GlyphResult) -> Iterable[int]:
        """Hand over a result; gives the strokes that need no further answer."""
        if line in self._cut:
            return ()  # Of ink that was taken back since: it would be told before what came before it.
        result = GlyphResult.from_wire(
            answer,
            glyphs_before=line.glyphs_before,
            timed=line.opening.answers.timings,
        )
        over: Iterable[int] = ()
        with self._outbox.lock:
            line.placed(result.glyph, result.strokes)
            seen = line.glyphs.get(result.glyph)
            if seen is not None:
                if seen.is_known(result):
                    return ()
                if result.revision <= seen.revision:
                    result = replace(result, revision=seen.revision + 1)
            if not result.is_final:
                line.glyphs.setdefault(result.glyph, OpenGlyph()).note(result)
            elif self.is_leaving and line.was_cut(result, self._quiet(line), self._outbox.clock()):
                self._cut.add(line)
                return ()
            else:
                line.glyphs.pop(result.glyph, None)
                over = (*result.strokes, *line.erased_from(result.glyph, result.strokes))
            line.glyphs_seen = max(line.glyphs_seen, result.glyph)
        line.reader.deliver(result)
        return over

    @staticmethod
    def _quiet(line: PenJournal) -> float:
        return (line.opening.quiet_ms or QUIET_MS) / 1000

    def _refuse(self, line: PenJournal, refused: error_pb2.ItemError) -> Iterable[int]:
        """Hand over an error; gives the strokes that get no further answer.

        Refused is the pen, a digit's final answer, a stroke, or a single event.
        """
        item, error = refused.ink, from_item_error(refused, invalid=InvalidInk)
        if not item.glyph and not item.stroke:
            # The pen itself: it is opened anew with its next stroke.
            del self._lines[line.number]
            sent = [stroke for stroke, written in line.unanswered.items() if written.sent]
            self._outbox.lose(line, _about(error, sent))
            return ()
        over: Iterable[int] = ()
        erased: Iterable[int] = ()
        glyph = item.glyph + line.glyphs_before
        with self._outbox.lock:
            if not item.stroke:
                over = line.glyphs.pop(glyph, OpenGlyph()).strokes
                erased = line.erased_from(glyph, over)
            elif refused.field.startswith(("stroke_begin", "stroke_remove")):
                over = (item.stroke,)
            elif item.glyph:
                line.glyphs.setdefault(glyph, OpenGlyph()).strokes.add(item.stroke)
                line.placed(glyph, [item.stroke])
        _about(error, over or filter(None, [item.stroke]))
        written = line.unanswered.get(item.stroke)
        if written is None or not written.has_told(refused.field, refused.code):
            line.reader.fail(error)
        return (*over, *erased)

    def _line_of(self, pen: int) -> PenJournal | None:
        """The pen; None for one that was closed or refused before."""
        line = self._lines.get(pen)
        if line is None and not 0 < pen <= self._highest:
            raise ProtocolError(f"the server answered pen {pen}, which wrote nothing")
        return line

    def _forget(self, line: PenJournal) -> None:
        """Let go of a pen that is closed and owed nothing."""
        if line.is_closed and not line.is_owed and not line.waiting:
            self._lines.pop(line.number, None)


def _about(error: InkstreamError, strokes: Iterable[int]) -> InkstreamError:
    """Have an error say which strokes it is about, so that whoever holds their ink may write it again."""
    if isinstance(error, RetryableError):
        error.strokes = tuple(sorted(strokes))
    return error
