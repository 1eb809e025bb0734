from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inkstream_server.confidence.calibration import (
    fit_temperature,
    softmax,
    threshold_keeping,
    threshold_of_error,
)


@given(temperature=st.floats(0.3, 4.0))
@settings(max_examples=10, deadline=None)
def test_the_fit_finds_the_temperature_that_labels_were_drawn_with(temperature: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 10))
    chances = softmax(logits)
    labels = (chances.cumsum(axis=1) < rng.random((len(logits), 1))).sum(axis=1)
    assert fit_temperature(logits * temperature, labels) == pytest.approx(temperature, rel=0.04)


def test_no_temperature_near_the_fitted_one_is_likelier() -> None:
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(0, 3, (500, 10)), rng.integers(0, 10, 500)
    logits[np.arange(500), labels] += 4
    best = fit_temperature(logits, labels)
    chances = (softmax(logits, best * by)[np.arange(500), labels] for by in (0.97, 1.0, 1.03))
    losses = [-float(np.log(each).mean()) for each in chances]
    assert losses[1] == min(losses)


def test_answers_that_are_all_right_fit_the_lowest_temperature() -> None:
    assert fit_temperature(np.eye(10) * 0.3, np.arange(10)) == pytest.approx(0.05, abs=1e-3)


def test_a_fit_without_examples_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        fit_temperature(np.zeros((0, 10)), np.zeros(0, np.int64))


def test_huge_logits_do_not_overflow() -> None:
    rows = softmax(np.array([[1e5, 0.0, *[0.0] * 8]]))
    assert rows[0, 0] == 1.0
    assert np.isfinite(rows).all()


def test_the_threshold_that_keeps_a_share_of_a_hand_computed_case() -> None:
    # One of twenty digits may be rejected, so the threshold is the second lowest, 0.10.
    assert threshold_keeping(np.arange(1, 21) / 20, 0.95) == 0.10


def test_keeping_all_digits_takes_the_lowest_as_threshold() -> None:
    assert threshold_keeping(np.array([0.3, 0.2, 0.9]), 1.0) == 0.2


@pytest.mark.parametrize("kept", [0.0, 1.1])
def test_a_share_that_cannot_be_kept_is_refused(kept: float) -> None:
    with pytest.raises(ValueError, match="kept"):
        threshold_keeping(np.array([0.5]), kept)


@pytest.mark.parametrize(("error", "threshold"), [(0.0, 0.9), (0.25, 0.6), (0.34, 0.6), (0.5, 0.5)])
def test_the_threshold_of_an_error_is_the_lowest_with_few_wrong_answers(
    error: float, threshold: float
) -> None:
    probabilities = np.zeros((5, 10))
    probabilities[np.arange(5), 3] = [0.9, 0.8, 0.7, 0.6, 0.5]
    labels = np.array([3, 0, 3, 3, 0])
    assert threshold_of_error(probabilities, labels, error) == threshold


def test_a_network_that_errs_where_it_is_surest_has_no_such_threshold() -> None:
    assert threshold_of_error(np.full((4, 10), 0.1), np.ones(4, np.int64), 0.1) == 1.0
