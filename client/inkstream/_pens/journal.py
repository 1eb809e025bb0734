"""One pen on its way to the server: what waits to be sent, what waits for an answer, what to send again.

A stream that breaks, or is left, takes the server's memory of its pens along. So a journal keeps every stroke
until the final answer that holds it, and can repeat to the next stream all that the last one knew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from inkstream._exceptions import InkstreamError, RetryableError, from_item_error
from inkstream._pens.opening import Opening
from inkstream._pens.reader import Reader
from inkstream._pens.written import (
    ACT_BYTES,
    CLEAR,
    CLOSE,
    GLYPH_END,
    Act,
    OpenGlyph,
    SentStroke,
    Waiting,
    bytes_of,
    kind_of,
    stroke_begun,
    stroke_removed,
    whole_strokes,
)
from inkstream._results.glyphs import GlyphResult
from inkstream.ink import InvalidInk
from inkstream.v1 import error_pb2, ink_pb2

_REMEMBERED = 8
"""Cleared digits whose late answers are recognised; a pen has one open digit at a time."""


@dataclass(slots=True, eq=False)
class PenJournal:
    """The state of one pen, guarded by the outbox's lock: only the outbox calls it or changes it.

    Others hold it as a handle and read its `number`, `reader` and `is_closed`, which no answer changes.
    """

    number: int
    opening: Opening
    """What opens the pen on a stream."""
    reader: Reader
    waiting: list[Waiting] = field(default_factory=list)
    """What has not left yet."""
    unanswered: dict[int, SentStroke] = field(default_factory=dict)
    """Strokes that belong to no final answer yet, in the order of writing."""
    erased: dict[int, int] = field(default_factory=dict)
    """Erased strokes whose digit still gets its final answer, each with the digit's number or a lower one;
    0 where no answer has named the digit yet."""
    erasures: dict[int, bool] = field(default_factory=dict)
    """Strokes whose erasure waits to be sent, each with whether it had no final answer."""
    stroke: int = 0
    """The stroke that is open; 0 for none, or for one that the server has given up."""
    is_closed: bool = False
    is_open: bool = False
    """Whether the pen is open on the stream, which may then hold ink of it."""
    is_timed: bool = False
    """Whether the writer gives the times of strokes, on a clock of its own."""
    is_cut: bool = False
    """Whether the stream's server stopped in the middle of a digit: the next stream answers it and all that
    follows."""
    glyphs: dict[int, OpenGlyph] = field(default_factory=dict)
    """Digits that were answered, but not finally."""
    glyphs_before: int = 0
    """Digits that the pen had on earlier streams."""
    glyphs_seen: int = 0
    """The greatest number of a digit so far."""
    held: int = 0
    """Bytes of ink that it holds, at most."""
    _at: int = 0
    """The last stroke whose beginning has left; 0 for none on this stream."""

    @property
    def is_pending(self) -> bool:
        """Whether a final answer is due."""
        return bool(self.unanswered or self.erased)

    def weigh(self) -> int:
        """Bytes of ink that it holds, at most. Looks at everything; `held` is the same."""
        waiting = sum(map(bytes_of, self.waiting)) + ACT_BYTES * len(self.erased)
        return waiting + sum(stroke.held_bytes for stroke in self.unanswered.values())

    def open(self) -> None:
        """Begin a stream, which numbers the pen's digits from 1."""
        self.is_cut = False
        self.is_open = True
        self.glyphs = {
            number: glyph
            for number, glyph in self.glyphs.items()
            if not glyph.strokes.isdisjoint(self.unanswered)
        }
        # Answers come in order, so what is still open is what comes next.
        self.glyphs_before = min(self.glyphs, default=self.glyphs_seen + 1) - 1

    def sent(self, event: Waiting) -> None:
        """Something leaves: keep what another stream would need."""
        kind = kind_of(event)
        self.held -= bytes_of(event)
        if kind == "stroke_begin":
            self._at = stroke_begun(event)
        if kind == "stroke_remove":
            self.erasures.pop(stroke_removed(event), None)
        elif kind == "glyph_end":
            self._end_glyph_before(self._at + 1)
        elif kind in ("stroke_begin", "points", "stroke_end") and self._at in self.unanswered:
            self.held += self.unanswered[self._at].keep(event)

    def answered(
        self, answer: ink_pb2.GlyphResult, now: float, *, is_leaving: bool
    ) -> tuple[GlyphResult | None, Iterable[int]]:
        """Note an answer to one digit.

        Args:
            answer: as it came.
            now: the outbox's clock, in seconds.
            is_leaving: whether the server stops: it then ends digits that their writers have not ended.

        Returns: the result for the reader, None where it gets none; and the strokes to `settle` once it has
            the result.
        """
        if self.is_cut:
            # The next stream answers in order; this would come before the cut digit.
            return None, ()
        result = GlyphResult.from_wire(
            answer, glyphs_before=self.glyphs_before, timed=self.opening.is_timed
        )
        self._place(result.glyph, result.strokes)
        glyph = self.glyphs.get(result.glyph)
        if glyph is not None:
            if glyph.is_known(result):
                return None, ()
            if result.revision <= glyph.revision:
                result = replace(result, revision=glyph.revision + 1)
        if is_leaving and result.is_final and self._is_unfinished(result, now):
            self.is_cut = True
            return None, ()
        settled: Iterable[int] = ()
        if result.is_final:
            self.glyphs.pop(result.glyph, None)
            settled = (*result.strokes, *self._erased_from(result.glyph, result.strokes))
        else:
            self.glyphs.setdefault(result.glyph, OpenGlyph()).note(result)
        self.glyphs_seen = max(self.glyphs_seen, result.glyph)
        return result, settled

    def refused(self, refused: error_pb2.ItemError) -> tuple[InkstreamError | None, Iterable[int]]:
        """Note an error: the server refused the pen, a digit's final answer, a stroke, or a single event.

        Returns: as `answered`, with the error for the reader.
        """
        item, error = refused.ink, from_item_error(refused, invalid=InvalidInk)
        glyph = item.glyph + self.glyphs_before
        lost: Iterable[int] = ()
        erased: Iterable[int] = ()
        is_news = True
        if not item.glyph and not item.stroke:
            # The pen itself: its next stroke opens it again.
            lost = self.forget_sent()
            is_news = bool(lost)
        elif not item.stroke:
            lost = self.glyphs.pop(glyph, OpenGlyph()).strokes
            erased = self._erased_from(glyph, lost)
        elif refused.field.startswith(("stroke_begin", "stroke_remove")):
            lost = (item.stroke,)
        elif item.glyph:
            self.glyphs.setdefault(glyph, OpenGlyph()).strokes.add(item.stroke)
            self._place(glyph, [item.stroke])
        if isinstance(error, RetryableError):
            error.strokes = tuple(sorted(lost or filter(None, [item.stroke])))
        if (stroke := self.unanswered.get(item.stroke)) is not None:
            is_news = not stroke.repeats(refused.field, refused.code)
        return error if is_news else None, (*lost, *erased)

    def settle(self, strokes: Iterable[int]) -> None:
        """These strokes are answered, or will never be; if one is open, it is over."""
        for number in strokes:
            if self.erased.pop(number, None) is not None:
                self.held -= ACT_BYTES
            if (stroke := self.unanswered.pop(number, None)) is not None:
                self.held -= stroke.held_bytes
                if stroke.ends_glyph:
                    self._end_glyph_before(number)
            if number == self.stroke:
                self.stroke = 0

    def wait(self, act: Act) -> bool:
        """Something but points waits to be sent; returns whether it makes a difference to the server.

        A stream that has not carried the pen knows nothing that could end or be taken back.
        """
        is_known = self.is_open or bool(self.waiting)
        if is_known:
            self.waiting.append(act)
            self.held += bytes_of(act)
        return is_known

    def erase(self, stroke: int) -> bool:
        """The writer takes a stroke back; returns whether the server has to be told."""
        if stroke in self.erasures:
            return False  # It will be.
        is_unanswered = stroke in self.unanswered
        if is_unanswered:
            owner = self._owner(stroke)
            self.settle([stroke])
            self.erased[stroke] = owner
            self.held += ACT_BYTES
            for glyph in self.glyphs.values():
                if stroke in glyph.strokes:
                    # Its next answer is news, even if it looks like an earlier one.
                    glyph.settled = ()
        is_told = self.wait(Act("stroke_remove", stroke))
        if is_told:
            self.erasures[stroke] = is_unanswered
        return is_told

    def clear(self) -> None:
        """The writer takes everything back, so whatever waits need not be sent any more."""
        self.settle([*self.unanswered, *self.erased])
        self.waiting = [CLEAR] if self.is_open else []
        self.erasures.clear()
        # Answers under way may still name these digits, but none that is much older.
        while len(self.glyphs) > _REMEMBERED:
            del self.glyphs[next(iter(self.glyphs))]

    def count_break(self, most: int) -> bool:
        """Count a stream that broke; returns whether more than `most` broke under one stroke."""
        for stroke in self.unanswered.values():
            stroke.broken_streams += bool(stroke.sent)
        return any(stroke.broken_streams > most for stroke in self.unanswered.values())

    def requeue_unanswered(self) -> None:
        """Put all that has left and is unanswered before what waits.

        What waits and made sense only to the stream that is gone is dropped.
        """
        waiting = self._without_torn()
        self._keep_erased(waiting)
        again: list[Waiting] = []
        owners = {
            stroke: number for number, glyph in self.glyphs.items() for stroke in glyph.strokes
        }
        before = 0
        for number, stroke in self.unanswered.items():
            owner = owners.get(number, 0)
            if 0 < before < owner:
                # The server that is gone saw a pause, or a gap, that the next one may not see.
                again.append(GLYPH_END)
            before = owner
            again += stroke.sent
            if stroke.ends_glyph:
                again.append(GLYPH_END)
            stroke.is_resent |= bool(stroke.sent)
            stroke.sent = []
            stroke.ends_glyph = False
        if self.is_closed and CLOSE not in waiting:
            waiting.append(CLOSE)
        self._leave(again + waiting)
        for glyph in self.glyphs.values():
            glyph.is_resent = True

    def forget_sent(self) -> list[int]:
        """Give up what has left and is unanswered, keep strokes that wait whole.

        Returns: the strokes that are lost, to `settle` once the reader has the error.
        """
        kept = {stroke_begun(event) for event in self.waiting}
        lost = [stroke for stroke in self.unanswered if stroke not in kept]
        if self.stroke in lost:
            self.stroke = 0
        self._keep_erased(self.waiting)
        self._leave(self.waiting)
        self.glyphs.clear()
        return lost

    def _place(self, glyph: int, strokes: Iterable[int]) -> None:
        """The server says which strokes a digit holds."""
        if self.erased:
            self.erased.update(dict.fromkeys(self.erased.keys() & strokes, glyph))

    def _erased_from(self, glyph: int, strokes: Iterable[int]) -> list[int]:
        """The erased strokes that the final answer to a digit settles; the digit holds `strokes`."""
        # An answer names every ended stroke before its digit is final, and digits come in order: what is
        # older than the last stroke of this one can belong to no later one.
        last = max(strokes, default=0)
        return [
            stroke for stroke, owner in self.erased.items() if 0 < owner <= glyph or stroke < last
        ]

    def _is_unfinished(self, result: GlyphResult, now: float) -> bool:
        """Whether a final answer came only because its server stops, not because the digit was done."""
        # Its last stroke but for erased ones: the server may not have read of an erasure.
        last = max(self.unanswered.keys() & result.strokes, default=0)
        stroke = self.unanswered.get(last)
        if stroke is None or stroke.ends_glyph:
            return False
        after = min((it for it in self.unanswered if last < it <= self._at), default=0)
        if after and stroke.lifted is not None:
            # Only after a pause does it surely begin another digit; else the server may not have read it.
            return self.unanswered[after].began - stroke.lifted < self.opening.quiet_seconds
        if stroke.lifted is None or not stroke.sent or kind_of(stroke.sent[-1]) != "stroke_end":
            return True
        return not self.is_closed and now - stroke.lifted < self.opening.quiet_seconds

    def _owner(self, stroke: int) -> int:
        """The digit that a stroke without a final answer belongs to, as in `erased`."""
        for number, glyph in self.glyphs.items():
            if stroke in glyph.strokes:
                return number
        if self.unanswered[stroke].lifted is not None:
            return 0
        # An answer may never name a stroke that did not end, but a digit is open, or begins with it.
        return min(self.glyphs, default=self.glyphs_seen + 1)

    def _end_glyph_before(self, number: int) -> None:
        """A digit ended after a stroke that is gone, so it ends after the one before, if there is one."""
        if before := max((it for it in self.unanswered if it < number), default=0):
            self.unanswered[before].ends_glyph = True

    def _leave(self, waiting: list[Waiting]) -> None:
        """The stream is gone: the next one gets what it can use of this."""
        self.waiting = whole_strokes(waiting)
        removed = {stroke_removed(event) for event in self.waiting}
        self.erasures = {stroke: it for stroke, it in self.erasures.items() if stroke in removed}
        self.is_open = False
        self._at = 0

    def _keep_erased(self, waiting: list[Waiting]) -> None:
        """The stream is gone: the next one hears of an erased stroke only if that waits."""
        begun = {stroke_begun(event) for event in waiting}
        self.erased = {stroke: owner for stroke, owner in self.erased.items() if stroke in begun}

    def _without_torn(self) -> list[Waiting]:
        """What waits, less what continues a stroke that will not be sent again."""
        begun = {stroke_begun(event) for event in self.waiting}
        is_torn = self._at not in self.unanswered
        kept: list[Waiting] = []
        for event in self.waiting:
            kind = kind_of(event)
            removed = stroke_removed(event)
            is_torn &= kind != "stroke_begin"
            is_lost = removed not in begun and self.erasures.get(removed, False)
            if not is_lost and not (is_torn and kind in ("points", "stroke_end")):
                kept.append(event)
        return kept
