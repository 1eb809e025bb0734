from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inkstream_server.confidence.rejection import (
    ACCEPT_ALL,
    NOT_A_DIGIT,
    UNSURE,
    RejectRule,
    rule_of,
    tempered,
)


def rows(*confidences: float) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    probabilities = np.zeros((len(confidences), 10), np.float32)
    probabilities[:, 3] = confidences
    return probabilities


def test_confidences_below_the_thresholds_are_rejected_with_their_reason() -> None:
    rule = RejectRule(not_a_digit_below=0.25, unsure_below=0.75)
    assert rule.reasons(rows(0.2, 0.25, 0.5, 0.75, 1)) == [NOT_A_DIGIT, UNSURE, UNSURE, 0, 0]


def test_a_batch_without_rejections_makes_no_list() -> None:
    assert RejectRule(0.3, 0.6).reasons(rows(0.6, 0.9)) is None
    assert ACCEPT_ALL.reasons(rows(0.0)) is None


def test_the_rule_comes_from_the_card_and_a_card_without_one_rejects_nothing() -> None:
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
def test_an_invalid_rule_is_an_error(stated: object) -> None:
    with pytest.raises(ValueError, match=r"reject(\.score)?: expected"):
        rule_of(json.dumps({"reject": stated}))


def test_one_answer_is_rejected_like_a_batch() -> None:
    rule = RejectRule(not_a_digit_below=0.25, unsure_below=0.75)
    confidences = (0.2, 0.25, 0.5, 0.75, 1.0)
    assert [rule.reason(one) for one in confidences] == rule.reasons(rows(*confidences))


def test_the_scale_of_ink_comes_from_the_card_and_defaults_to_that_of_tensors() -> None:
    reject = {"not_a_digit_below": 0.3, "unsure_below": 0.6}
    both = rule_of(json.dumps({"reject": reject, "ink_temperature": 1.5}))
    assert both == RejectRule(0.3, 0.6, ink_temperature=1.5)
    assert rule_of('{"ink_temperature": 2}') == RejectRule(ink_temperature=2.0)
    assert rule_of(json.dumps({"reject": reject})).ink_temperature == 1.0


@pytest.mark.parametrize("stated", [0, -1, 1e-9, 10**400, "hot", None, [1]])
def test_an_invalid_scale_is_an_error(stated: object) -> None:
    with pytest.raises(ValueError, match=r"ink_temperature: expected 0\.01 to 100"):
        rule_of(json.dumps({"ink_temperature": stated}))


@given(st.integers(0, 1000), st.floats(0.3, 3.0))
def test_a_temperature_divides_the_logits(seed: int, temperature: float) -> None:
    logits = np.random.default_rng(seed).normal(0, 3, (5, 10))

    def softmax(of: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> Any:
        powers = np.exp(of)
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    given_rows = softmax(logits).astype(np.float32)
    found = tempered(given_rows, temperature)
    np.testing.assert_allclose(found, softmax(logits / temperature), atol=2e-5)
    np.testing.assert_array_equal(found.argmax(axis=1), given_rows.argmax(axis=1))
    np.testing.assert_allclose(tempered(given_rows[0], temperature), found[0], atol=1e-6)


def test_a_certain_answer_stays_certain_at_any_temperature() -> None:
    certain = np.eye(10, dtype=np.float32)[3]
    np.testing.assert_array_equal(tempered(certain, 1.7), certain)
