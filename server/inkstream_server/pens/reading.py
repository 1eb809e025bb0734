"""What a model says about one glyph, on the scale of ink. Keeps nothing of the batch that it was in."""

from dataclasses import dataclass

from inkstream_server.batching.results import Share
from inkstream_server.confidence.rejection import tempered
from inkstream_server.engines import Probabilities


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A model's answer to one glyph."""

    digit: int
    """The most probable digit."""
    confidence: float
    """Its probability."""
    reason: int
    """Why it should not be trusted, a `RejectReason`; 0 for none."""
    probabilities: Probabilities
    """Probabilities of all digits, float32 of shape (10,); its own copy."""
    label: str
    """The model, as answers name it."""
    started: float
    """When the engine began with the glyph's batch, on the clock of `time.perf_counter`, in seconds."""
    seconds: float
    """How long it took for the batch, with two networks for both."""


def read(share: Share) -> Reading:
    """Read the row that answers a glyph, as its model's card says that ink is to be read.

    The answer of two networks has the scale of ink already: their rule's temperature is 1.
    """
    batch, row = share.batch, share.start
    probabilities = tempered(batch.probabilities[row].copy(), batch.rule.ink_temperature)
    digit = batch.digits[row]
    confidence = float(probabilities[digit])
    return Reading(
        digit,
        confidence,
        batch.rule.reason(confidence),
        probabilities,
        batch.label,
        batch.started,
        batch.seconds,
    )
