"""The reply that gives one answer to one glyph: waits for its render job and becomes a `GlyphResult`."""

import asyncio
from array import array
from dataclasses import dataclass, field
from time import perf_counter
from typing import ClassVar, Final

import numpy as np
from inkstream.v1 import error_pb2, ink_pb2

from inkstream_server.batching.admission import Overloaded
from inkstream_server.limits.memory_book import Kind
from inkstream_server.metrics.items import Metrics
from inkstream_server.pens.reading import Reading
from inkstream_server.pens.renderer import RenderJob
from inkstream_server.pens.stability import stability
from inkstream_server.pens.strokes import Glyph
from inkstream_server.pens.wanted import State, Wanted
from inkstream_server.wire.answer_options import AnswerOptions
from inkstream_server.wire.response import Response, shared_error

_STATES: Final[dict[State, ink_pb2.GlyphState]] = {
    "interim": ink_pb2.GLYPH_STATE_INTERIM,
    "provisional": ink_pb2.GLYPH_STATE_PROVISIONAL,
    "final": ink_pb2.GLYPH_STATE_FINAL,
}


REPLY_BYTES: Final = 3500
"""A reply that waits, with its job and its row in the queue of a model with two networks, or what the model
said. With one network it is 1500 less."""
NUMBER_BYTES: Final = 16
"""Each of its strokes: its number, and until it is drawn a reference."""


@dataclass(slots=True, eq=False)
class GlyphReply:
    """One answer to one glyph. Satisfies `streams.outbox.Reply`, and counts itself when it leaves."""

    items = 1
    kind: ClassVar[Kind] = "answers"
    pen: int
    """The caller's number of the pen."""
    glyph: Glyph
    state: State
    strokes: "array[int]"
    """The caller's numbers of its strokes."""
    box: int
    """The number of the box that it lies in; 0 for none."""
    job: RenderJob
    """Draws the ink; the reply is complete when the job is settled."""
    options: AnswerOptions
    metrics: Metrics
    quiet_seconds: float | None
    """How long the ink had not changed when the answer was asked for; None outside of streams."""
    size: int = field(init=False)
    """Bytes that it holds; see `Reply`."""
    _asked: float = field(default_factory=perf_counter, init=False)
    _waiter: asyncio.Future[None] | None = field(default=None, init=False)
    _has_left: bool = field(default=False, init=False)

    @staticmethod
    def to(
        wanted: Wanted,
        pen: int,
        job: RenderJob,
        options: AnswerOptions,
        metrics: Metrics,
        quiet_seconds: float | None = None,
    ) -> "GlyphReply":
        """Make the reply to what a pen wants. Keeps nothing of its ink."""
        numbers = array("I", wanted.strokes)
        return GlyphReply(
            pen,
            wanted.glyph,
            wanted.state,
            numbers,
            wanted.box,
            job,
            options,
            metrics,
            quiet_seconds,
        )

    def __post_init__(self) -> None:
        self.size = REPLY_BYTES + NUMBER_BYTES * len(self.strokes)
        self.job.on_settled(self._wake)

    def replace(self) -> None:
        """Give up an interim answer because the ink has changed; does nothing if it has left.

        Its slot is not reused: if its successor took the slot, interims that are replaced faster than they
        are drawn would block later replies.
        """
        if self._has_left:
            return
        self._has_left = True
        # An interim's edition is its own: no other reply waits for its job.
        self.job.withdraw()
        self.metrics.ink.interims_replaced.inc()
        self._wake()

    def is_complete(self) -> bool:
        """See `Reply`."""
        return self.job.is_settled

    async def ready(self) -> None:
        """See `Reply`."""
        if not self.is_complete():
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def pack(self) -> None:
        """See `Reply`."""

    def append(self, response: Response) -> None:
        """See `Reply`. An interim that was replaced adds nothing."""
        if self._has_left:
            return
        self._has_left = True
        job, glyph, state = self.job, self.glyph, self.state
        failure = job.failure
        if failure is not None:
            if state != "interim":
                response.errors.append(self._error(failure))
            if state == "final":
                overloaded = isinstance(failure, Overloaded)
                self.metrics.glyph_unanswered("overloaded" if overloaded else "failed")
            return
        glyph.revision += 1
        result = ink_pb2.GlyphResult(
            pen=self.pen,
            glyph=glyph.number,
            revision=glyph.revision,
            state=_STATES[state],
            strokes=self.strokes,
            box=self.box,
        )
        fill(result, job.reading, self.options, state, self._asked)
        response.glyphs.append(result)
        self._count(result.reject_reason)

    def withdraw(self) -> None:
        """See `Reply`."""
        self._has_left = True
        self.job.withdraw()
        if self.state == "final":
            self.metrics.glyph_unanswered("cancelled")

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _count(self, reject_reason: int) -> None:
        waited = perf_counter() - self._asked
        ink = self.metrics.ink
        if self.state == "interim":
            ink.interims_sent.inc()
        elif self.state == "provisional":
            ink.to_provisional.observe(waited)
        else:
            if self.quiet_seconds is not None:
                ink.to_final.observe(waited + self.quiet_seconds)
            self.metrics.glyph_answered(reject_reason, waited)

    def _error(self, failure: Exception) -> error_pb2.ItemError:
        """A final answer's error ends the glyph; a provisional answer's names the last stroke, too."""
        (error,) = shared_error([0], failure).errors()
        error.ink.pen, error.ink.glyph = self.pen, self.glyph.number
        if self.state == "provisional":
            error.ink.stroke = self.strokes[-1] if self.strokes else 0
            error.message += "; the final answer will be tried again"
        return error


def fill(
    result: ink_pb2.GlyphResult,
    reading: Reading | None,
    options: AnswerOptions,
    state: State,
    asked: float,
) -> None:
    """Write what was recognised into a result.

    Args:
        result: the result.
        reading: what the model says; None where there is no ink.
        options: what the answer should hold.
        state: how settled the answer is.
        asked: when the answer was asked for, on the clock of `time.perf_counter`, in seconds.
    """
    if reading is None:
        # By rule, before the model: a network reads nothing as "5" or "1".
        result.reject_reason = error_pb2.REJECT_REASON_NO_INK
        result.stability = 1.0 if state == "final" else 0.0
        return
    result.digit = reading.digit
    result.confidence = reading.confidence
    result.stability = stability(state, reading.digit, reading.confidence)
    result.model_version = reading.label
    result.reject_reason = reading.reason  # type: ignore[assignment]  # The number of an enum value.
    count = 10 if options.probabilities else options.top_k
    if count:
        probabilities = reading.probabilities
        best = np.argsort(-probabilities, kind="stable")[:count]
        for candidate, probability in zip(best.tolist(), probabilities[best].tolist(), strict=True):
            result.alternatives.add(digit=candidate, confidence=probability)
    if options.timings:
        result.queued_us = max(0, round((reading.started - asked) * 1e6))
        result.inferred_us = round(reading.seconds * 1e6)
