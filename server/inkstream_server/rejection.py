"""When an answer is not to be trusted: the thresholds of a model's card, applied to a batch at once."""

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


@dataclass(frozen=True, slots=True)
class RejectRule:
    """Confidences below which a model's answers are rejected. A card without a rule rejects none."""

    not_a_digit_below: float = 0.0
    """Below it the ink is taken for no digit. 0 to 1."""
    unsure_below: float = 0.0
    """Below it the answer is too often wrong. 0 to 1."""

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
    """Read the rule of a model's card, `{"reject": {"not_a_digit_below": …, "unsure_below": …}}`.

    Raises:
        ValueError: there is a rule, but not one that can be followed.
    """
    card = json.loads(card_json)
    stated = card.get("reject") if isinstance(card, dict) else None
    if stated is None:
        return ACCEPT_ALL
    try:
        rule = RejectRule(float(stated["not_a_digit_below"]), float(stated["unsure_below"]))
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(
            f"reject: expected not_a_digit_below and unsure_below, got {stated!r:.80}"
        ) from error
    if stated.get("score", SCORE) != SCORE:
        raise ValueError(f"reject.score: expected {SCORE!r}, got {stated['score']!r:.80}")
    if not (0 <= rule.not_a_digit_below <= 1 and 0 <= rule.unsure_below <= 1):
        raise ValueError(f"reject: expected thresholds from 0 to 1, got {stated!r:.80}")
    return rule
