import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inkstream_training.architecture import build_network, predict
from inkstream_training.calibration import (
    fit_temperature,
    fold_temperature,
    least_temperature,
    softmax,
)
from inkstream_training.metrics import negative_log_likelihood


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
    losses = [
        negative_log_likelihood(softmax(logits, best * by), labels) for by in (0.97, 1.0, 1.03)
    ]
    assert losses[1] == min(losses)


def test_answers_that_are_all_right_fit_the_lowest_temperature() -> None:
    assert fit_temperature(np.eye(10) * 0.3, np.arange(10)) == pytest.approx(0.05, abs=1e-3)


@pytest.mark.parametrize("share", [0.0, 0.045, 0.3])
def test_the_least_temperature_leaves_at_most_the_given_share_sure(share: float) -> None:
    logits = np.random.default_rng(3).normal(0, 5, (1000, 10))
    least = least_temperature(logits, 0.99, share)
    assert (softmax(logits, least).max(axis=1) > 0.99).mean() <= share
    assert (softmax(logits, least * 0.99).max(axis=1) > 0.99).mean() > share


def test_without_sure_answers_the_least_temperature_is_the_lower_bound() -> None:
    assert least_temperature(np.zeros((5, 10)), 0.99, 0.0) == pytest.approx(0.05, abs=1e-3)


def test_a_fit_without_examples_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        fit_temperature(np.zeros((0, 10)), np.zeros(0, np.int64))


def test_huge_logits_do_not_overflow() -> None:
    rows = softmax(np.array([[1e5, 0.0, *[0.0] * 8]]))
    assert rows[0, 0] == 1.0
    assert np.isfinite(rows).all()


def test_folding_divides_the_logits_and_changes_no_answer() -> None:
    keras.utils.set_random_seed(1)
    model = build_network()
    images = np.random.default_rng(0).random((200, 28, 28), np.float32)
    before = predict(model, images)
    fold_temperature(model, 0.5)
    after = predict(model, images)
    sharper = before**2 / (before**2).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(after, sharper, atol=1e-6)
    np.testing.assert_array_equal(after.argmax(axis=1), before.argmax(axis=1))


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_an_invalid_temperature_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match="more than 0"):
        fold_temperature(build_network(), temperature)
