"""How sure an answer is and when not to be trusted: what a model's card says of its probabilities.

A model's file gives the probabilities of tensors. Ink, which is harder, is read on a scale of its own.
"""

import json
from dataclasses import dataclass

import numpy as np
from inkstream.v1 import error_pb2

from inkstream_server.engines import Probabilities

NO_INK = error_pb2.REJECT_REASON_NO_INK
NOT_A_DIGIT = error_pb2.REJECT_REASON_NOT_A_DIGIT
UNSURE = error_pb2.REJECT_REASON_UNSURE

SCORE = "max_probability"
"""What thresholds are compared with: the only score that is known here."""

TEMPERATURES = (0.01, 100.0)
"""Least and most temperature of ink that a card may state; fitted ones are near 1. Far beyond, powers of
probabilities are no numbers any more."""


def tempered(probabilities: Probabilities, temperature: float) -> Probabilities:
    """Probabilities as they would be had the logits been divided by `temperature`: less sure above 1.

    p ** (1 / temperature), made to sum to 1 again. The order of the ten stays as it is. Serving,
    training and evaluation all use this.

    Args:
        probabilities: float32 of shape (10,) or (n, 10).
        temperature: more than 0.
    """
    if temperature == 1.0:
        return probabilities
    powers = probabilities ** np.float32(1.0 / temperature)
    powers /= powers.sum(axis=-1, keepdims=True)
    return powers


@dataclass(frozen=True, slots=True)
class RejectRule:
    """Confidences below which a model's answers are rejected. A card without a rule rejects none."""

    not_a_digit_below: float = 0.0
    """Below it the ink is taken for no digit. 0 to 1."""
    unsure_below: float = 0.0
    """Below it the answer is too often wrong. 0 to 1."""
    ink_temperature: float = 1.0
    """What `tempered` brings the probabilities of ink to the scale of the thresholds with."""

    def reason(self, confidence: float) -> int:
        """Judge one answer: a `RejectReason`, 0 for none."""
        if confidence < self.not_a_digit_below:
            return NOT_A_DIGIT
        return UNSURE if confidence < self.unsure_below else 0

    @property
    def trusted_from(self) -> float:
        """Confidence from which on no answer is rejected."""
        return max(self.unsure_below, self.not_a_digit_below)

    def reasons(self, probabilities: Probabilities) -> list[int] | None:
        """Judge a batch.

        Args:
            probabilities: shape (n, 10).

        Returns: a `RejectReason` a row, 0 for none; None where no row is rejected.
        """
        confidences = probabilities.max(axis=1)
        if confidences.min() >= self.trusted_from:
            return None
        unsure = np.where(confidences < self.unsure_below, UNSURE, 0)
        reasons: list[int] = np.where(
            confidences < self.not_a_digit_below, NOT_A_DIGIT, unsure
        ).tolist()
        return reasons


ACCEPT_ALL = RejectRule()


def rule_of(card_json: str) -> RejectRule:
    """Read the rule of a model's card.

    `{"reject": {"not_a_digit_below": …, "unsure_below": …}, "ink_temperature": …}`; without
    `reject` nothing is rejected, without `ink_temperature` ink is read as tensors are.

    Raises:
        ValueError: there is a rule, but not one that can be followed.
    """
    card = json.loads(card_json)
    if not isinstance(card, dict):
        return ACCEPT_ALL
    ink_temperature = card.get("ink_temperature", 1.0)
    least, most = TEMPERATURES
    if not isinstance(ink_temperature, int | float) or not least <= ink_temperature <= most:
        raise ValueError(
            f"ink_temperature: expected {least:g} to {most:g}, got {ink_temperature!r:.80}"
        )
    stated = card.get("reject")
    if stated is None:
        return RejectRule(ink_temperature=float(ink_temperature))
    try:
        rule = RejectRule(
            float(stated["not_a_digit_below"]),
            float(stated["unsure_below"]),
            float(ink_temperature),
        )
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        raise ValueError(
            f"reject: expected not_a_digit_below and unsure_below, got {stated!r:.80}"
        ) from error
    if stated.get("score", SCORE) != SCORE:
        raise ValueError(f"reject.score: expected {SCORE!r}, got {stated['score']!r:.80}")
    if not (0 <= rule.not_a_digit_below <= 1 and 0 <= rule.unsure_below <= 1):
        raise ValueError(f"reject: expected thresholds from 0 to 1, got {stated!r:.80}")
    return rule
