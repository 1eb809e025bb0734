"""Results of ink."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from inkstream._results.images import REASONS, ImageWarning, RejectReason, warnings_of
from inkstream.v1 import ink_pb2


class GlyphState(enum.StrEnum):
    """Whether a result may still change."""

    INTERIM = "interim"
    """The pen is still down."""
    PROVISIONAL = "provisional"
    """The pen went up; another stroke may follow."""
    FINAL = "final"
    """The last result of the digit; every digit gets exactly one."""


@dataclass(frozen=True, slots=True)
class GlyphResult:
    """A result for one digit of a pen; several may come as its ink grows."""

    pen: int
    """`Pen.number` of its pen; 0 for results of `recognize_ink`."""
    glyph: int
    """The digit's number within its pen, from 1."""
    revision: int
    """Rises with every result for the same digit, from 1."""
    state: GlyphState
    """Whether more results for the digit may follow."""
    digit: int
    """The most probable digit, 0 to 9, even when rejected; 0 where there is no ink."""
    confidence: float
    """Calibrated probability of that digit, 0 to 1."""
    alternatives: tuple[tuple[int, float], ...]
    """As many of the best digits as asked for, with their probabilities, `digit` first."""
    stability: float
    """Probability that the final result has the same digit, 0 to 1; 1 when final."""
    rejected: bool
    """Whether the digit should not be trusted."""
    reason: RejectReason | None
    """Why the digit is rejected; None if it is not, or for a reason that this version does not know."""
    strokes: tuple[int, ...]
    """Numbers of its strokes, as `down` returned them."""
    box: int | None
    """Number of the box that it lies in; None for none."""
    warnings: tuple[ImageWarning, ...]
    """What may be wrong with the image; empty so far, as the server draws the ink itself."""
    model: str
    """Name and version of the model that answered; "" where none was needed, as for a dot."""
    queued: float | None
    """Seconds from the ink's arrival until the engine began; None unless timings are asked for."""
    inferred: float | None
    """Seconds that the engine took for the whole batch; None unless timings are asked for."""

    @property
    def is_final(self) -> bool:
        """Whether this is the digit's last result."""
        return self.state is GlyphState.FINAL

    @classmethod
    def from_wire(
        cls, answer: ink_pb2.GlyphResult, *, glyphs_before: int = 0, timed: bool = False
    ) -> GlyphResult:
        """Convert the contract's message.

        Args:
            answer: the message.
            glyphs_before: digits that the pen had on earlier streams.
            timed: whether timings were asked for.
        """
        return cls(
            answer.pen,
            answer.glyph + glyphs_before,
            answer.revision,
            _STATES.get(answer.state, GlyphState.INTERIM),
            answer.digit,
            answer.confidence,
            tuple([(each.digit, each.confidence) for each in answer.alternatives]),
            answer.stability,
            answer.reject_reason != 0,
            REASONS.get(answer.reject_reason),
            tuple(answer.strokes),
            answer.box or None,
            warnings_of(answer.warnings),
            answer.model_version,
            answer.queued_us / 1e6 if timed else None,
            answer.inferred_us / 1e6 if timed else None,
        )


_STATES = {1: GlyphState.INTERIM, 2: GlyphState.PROVISIONAL, 3: GlyphState.FINAL}
