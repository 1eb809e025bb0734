"""What comes back for a digit that a pen wrote."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from inkstream._results.images import ImageWarning, RejectReason
from inkstream.v1 import ink_pb2


class GlyphState(enum.StrEnum):
    """How settled an answer to ink is."""

    INTERIM = "interim"
    """The pen is still down."""
    PROVISIONAL = "provisional"
    """The pen went up; another stroke may follow."""
    FINAL = "final"
    """Done: exactly one a digit, and it never changes."""


@dataclass(frozen=True, slots=True)
class GlyphResult:
    """An answer to one digit of a pen; several may come as its ink grows."""

    pen: int
    """The pen's number within its client, `Pen.number`; 0 for ink that no pen wrote."""
    glyph: int
    """The digit's number within its pen, from 1."""
    revision: int
    """Rises with every answer to the same digit, from 1."""
    state: GlyphState
    """Whether more answers to it may follow."""
    digit: int
    """The most probable digit, 0 to 9; given even when rejected, 0 where there is no ink."""
    confidence: float
    """Calibrated probability of that digit, 0 to 1."""
    alternatives: tuple[tuple[int, float], ...]
    """The best digits with their probabilities, the first included, as many as asked for."""
    stability: float
    """Probability that the final digit will be this one, 0 to 1; 1 when final."""
    rejected: bool
    """Whether the digit should not be trusted."""
    reason: RejectReason | None
    """Why it should not; None when it can be trusted, or for a reason that is not known here."""
    strokes: tuple[int, ...]
    """The strokes that belong to the digit, by the numbers that `down` returned."""
    box: int | None
    """The box that it lies in; None for none."""
    warnings: tuple[ImageWarning, ...]
    """Doubts about the ink; none so far, for it is the server that draws it."""
    model: str
    """Name and version of the model that answered; "" where none was asked."""
    queued: float | None
    """Seconds from the ink's arrival until the engine began; None unless asked for."""
    inferred: float | None
    """Seconds that the engine took for the whole batch; None unless timings are asked for."""

    @property
    def is_final(self) -> bool:
        """Whether it never changes."""
        return self.state is GlyphState.FINAL

    @classmethod
    def from_wire(
        cls, answer: ink_pb2.GlyphResult, *, glyphs_before: int = 0, timed: bool = False
    ) -> GlyphResult:
        """From the contract's message.

        Args:
            answer: the message.
            glyphs_before: digits that the pen had on earlier streams.
            timed: whether timings were asked for.
        """
        mask, reason = answer.warnings, answer.reject_reason
        return cls(
            answer.pen,
            answer.glyph + glyphs_before,
            answer.revision,
            _STATES.get(answer.state, GlyphState.INTERIM),
            answer.digit,
            answer.confidence,
            tuple([(each.digit, each.confidence) for each in answer.alternatives]),
            answer.stability,
            reason != 0,
            _REASONS.get(reason),
            tuple(answer.strokes),
            answer.box or None,
            tuple(doubt for doubt in ImageWarning if mask >> doubt.value & 1) if mask else (),
            answer.model_version,
            answer.queued_us / 1e6 if timed else None,
            answer.inferred_us / 1e6 if timed else None,
        )


_STATES = {1: GlyphState.INTERIM, 2: GlyphState.PROVISIONAL, 3: GlyphState.FINAL}
_REASONS = {reason.value: reason for reason in RejectReason}
