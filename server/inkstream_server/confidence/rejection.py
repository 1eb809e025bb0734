"""Rejects answers, and scales the confidence of ink, by the rule in a model's card.

Ink is harder than images, so that its probabilities have a scale of their own.
"""

import json
from dataclasses import dataclass

import numpy as np
from inkstream.v1 import error_pb2

from inkstream_server.engines import Probabilities
from inkstream_server.engines.form import TEMPERATURES
from inkstream_server.errors import shown

NOT_A_DIGIT = error_pb2.REJECT_REASON_NOT_A_DIGIT
UNSURE = error_pb2.REJECT_REASON_UNSURE

SCORE = "max_probability"
"""The only score that a card's thresholds may be compared with."""


def tempered(probabilities: Probabilities, temperature: float) -> Probabilities:
    """Give the probabilities that the network gives if its logits are divided by a temperature.

    This is p ** (1 / temperature), scaled to sum to 1; the order of the digits stays. Serving, training and
    evaluation use it.

    Args:
        probabilities: float32 of shape (10,) or (n, 10).
        temperature: more than 0; above 1 makes answers less sure.

    Returns: float32 of the same shape.
    """
    if temperature == 1.0:
        return probabilities
    powers = probabilities ** np.float32(1.0 / temperature)
    powers /= powers.sum(axis=-1, keepdims=True)
    return powers


@dataclass(frozen=True, slots=True)
class RejectRule:
    """Confidences below which a model's answers are rejected. The default rejects none."""

    not_a_digit_below: float = 0.0
    """Below it the answer is that this is no digit. 0 to 1."""
    unsure_below: float = 0.0
    """Below it the answer is too often wrong. 0 to 1."""
    ink_temperature: float = 1.0
    """Brings the probabilities of ink to the scale of the thresholds; see `tempered`."""

    def reason(self, confidence: float) -> int:
        """Give the `RejectReason` of one answer by its confidence, 0 for none."""
        if confidence < self.not_a_digit_below:
            return NOT_A_DIGIT
        return UNSURE if confidence < self.unsure_below else 0

    @property
    def trusted_from(self) -> float:
        """Least confidence at which no answer is rejected."""
        return max(self.unsure_below, self.not_a_digit_below)

    def reasons(self, probabilities: Probabilities) -> list[int] | None:
        """Give the `RejectReason` of each row, 0 for none; None where no row is rejected.

        Args:
            probabilities: float32 of shape (n, 10).
        """
        confidences = probabilities.max(axis=1)
        if confidences.min() >= self.trusted_from:
            return None
        unsure = np.where(confidences < self.unsure_below, UNSURE, 0)
        is_digit = confidences >= self.not_a_digit_below
        reasons: list[int] = np.where(is_digit, unsure, NOT_A_DIGIT).tolist()
        return reasons


ACCEPT_ALL = RejectRule()


def rule_of(card_json: str) -> RejectRule:
    """Read the rule of a model's card.

    `{"reject": {"not_a_digit_below": …, "unsure_below": …}, "ink_temperature": …}`. Without `reject`
    nothing is rejected; without `ink_temperature` ink has the scale of tensors.

    Raises:
        ValueError: the card has a rule that is not as expected, or is no JSON.
    """
    card = json.loads(card_json)
    if not isinstance(card, dict):
        return ACCEPT_ALL
    ink_temperature = card.get("ink_temperature", 1.0)
    least, most = TEMPERATURES
    if not _is_number(ink_temperature) or not least <= ink_temperature <= most:
        got = shown(ink_temperature)
        raise ValueError(f"ink_temperature: expected {least:g} to {most:g}, got {got}")
    stated = card.get("reject")
    if stated is None:
        return RejectRule(ink_temperature=float(ink_temperature))
    try:
        thresholds = stated["not_a_digit_below"], stated["unsure_below"]
    except (TypeError, KeyError) as error:
        raise ValueError(
            f"reject: expected not_a_digit_below and unsure_below, got {shown(stated)}"
        ) from error
    if stated.get("score", SCORE) != SCORE:
        raise ValueError(f"reject.score: expected '{SCORE}', got {shown(stated['score'])}")
    if not all(_is_number(threshold) and 0 <= threshold <= 1 for threshold in thresholds):
        raise ValueError(f"reject: expected thresholds from 0 to 1, got {shown(stated)}")
    not_a_digit_below, unsure_below = map(float, thresholds)
    return RejectRule(not_a_digit_below, unsure_below, float(ink_temperature))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
