"""The pens of one stream: packs what they did into messages and hands each its answers.

Pure: it knows neither sockets nor event loops. What an answer does to a pen is the journal's work.
"""

from __future__ import annotations

from collections.abc import Iterable

from inkstream._exceptions import InkstreamError, ProtocolError
from inkstream._pens.journal import PenJournal
from inkstream._pens.outbox import InkOutbox
from inkstream._pens.written import pack
from inkstream.v1 import recognition_service_pb2 as wire


class InkExchange:
    """Pens that are open on one stream, from their first event there to their last answer."""

    def __init__(self, outbox: InkOutbox) -> None:
        self._outbox = outbox
        self._pens: dict[int, PenJournal] = {}
        self._highest = 0
        self.is_leaving = False
        """Whether the server stops: it ends digits that their writers have not ended."""

    def next_message(self, *, at_once: bool = False) -> wire.StreamRecognizeRequest | None:
        """Pack what is due into the next message; None if nothing is.

        Args:
            at_once: pack what waits even if it is not due.
        """
        message = wire.StreamRecognizeRequest()
        ink = message.ink
        for journal, is_new, taken in self._outbox.take(at_once=at_once):
            if taken:
                self._pens[journal.number] = journal
                self._highest = max(self._highest, journal.number)
            if is_new:
                journal.opening.pack(ink, journal.number)
            for each in taken:
                pack(ink, journal.number, each)
            self._settle(journal)
        return message if ink.events else None

    def receive(self, response: wire.StreamRecognizeResponse) -> None:
        """Hand what a message says about pens to their readers.

        Raises:
            ProtocolError: it answers a pen that was never open on the stream.
        """
        # Nothing is settled before all is handed over: a reader in another thread must not take a final
        # answer for the last item when the message holds an error, too.
        settled: dict[PenJournal, list[int]] = {}
        for answer in response.glyphs:
            if (journal := self._journal_of(answer.pen)) is not None:
                result, strokes = self._outbox.answered(journal, answer, is_leaving=self.is_leaving)
                if result is not None:
                    journal.reader.deliver(result)
                settled.setdefault(journal, []).extend(strokes)
        for refused in response.errors:
            item = refused.ink
            if refused.WhichOneof("item") == "ink" and (journal := self._journal_of(item.pen)):
                error, strokes = self._outbox.refused(journal, refused)
                if not item.glyph and not item.stroke:
                    del self._pens[item.pen]
                if error is not None:
                    journal.reader.deliver(error)
                settled.setdefault(journal, []).extend(strokes)
        for journal, strokes in settled.items():
            self._settle(journal, strokes)
            journal.reader.recheck()

    @property
    def is_pending(self) -> bool:
        """Whether a final answer is due."""
        return self._outbox.is_pending(self._pens.values())

    def give_back(self, error: InkstreamError | None = None, most_broken: int = 0) -> None:
        """Leave what is unanswered to the next stream; later answers of this one are ignored.

        Args:
            error: how the stream broke; None if it did not.
            most_broken: streams that may break under one stroke; beyond, its pen fails with `error`.
        """
        pens, self._pens = self._pens, {}
        self._outbox.requeue_unanswered(pens.values(), error, most_broken)

    def _journal_of(self, pen: int) -> PenJournal | None:
        """The pen; None for one that was closed or refused before."""
        journal = self._pens.get(pen)
        if journal is None and not 0 < pen <= self._highest:
            raise ProtocolError(f"the server answered pen {pen}, which wrote nothing")
        return journal

    def _settle(self, journal: PenJournal, strokes: Iterable[int] = ()) -> None:
        """Drop strokes that are answered, and the pen once it is closed and nothing of it is pending."""
        if self._outbox.settle(journal, strokes):
            self._pens.pop(journal.number, None)
