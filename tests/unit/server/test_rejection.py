from __future__ import annotations

import json

import numpy as np
import pytest
from inkstream_server.rejection import ACCEPT_ALL, NOT_A_DIGIT, UNSURE, RejectRule, rule_of


def rows(*confidences: float) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    probabilities = np.zeros((len(confidences), 10), np.float32)
    probabilities[:, 3] = confidences
    return probabilities


def test_confidences_below_the_thresholds_are_rejected_with_their_reason() -> None:
    rule = RejectRule(not_a_digit_below=0.25, unsure_below=0.75)
    assert rule.reasons(rows(0.2, 0.25, 0.5, 0.75, 1)) == [NOT_A_DIGIT, UNSURE, UNSURE, 0, 0]


def test_a_batch_of_which_nothing_is_rejected_costs_no_list() -> None:
    assert RejectRule(0.3, 0.6).reasons(rows(0.6, 0.9)) is None
    assert ACCEPT_ALL.reasons(rows(0.0)) is None


def test_the_rule_stands_in_the_card_and_a_card_without_one_rejects_nothing() -> None:
    card = {"reject": {"not_a_digit_below": 0.3, "unsure_below": 0.6, "score": "max_probability"}}
    assert rule_of(json.dumps(card)) == RejectRule(0.3, 0.6)
    assert rule_of('{"name": "digits"}') == rule_of('{"reject": null}') == ACCEPT_ALL


@pytest.mark.parametrize(
    "stated",
    [
        {},
        5,
        {"not_a_digit_below": 2, "unsure_below": 0.5},
        {"not_a_digit_below": 0.2, "unsure_below": 0.5, "score": "entropy"},
    ],
)
def test_a_rule_that_cannot_be_followed_is_an_error(stated: object) -> None:
    with pytest.raises(ValueError, match=r"reject(\.score)?: expected"):
        rule_of(json.dumps({"reject": stated}))
