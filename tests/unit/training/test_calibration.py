import keras
import numpy as np
import pytest
from inkstream_training.architecture import build_network, predict
from inkstream_training.calibration import (
    fold_temperature,
    least_temperature,
    softmax,
)


@pytest.mark.parametrize("share", [0.0, 0.045, 0.3])
def test_the_least_temperature_leaves_at_most_the_given_share_sure(share: float) -> None:
    logits = np.random.default_rng(3).normal(0, 5, (1000, 10))
    least = least_temperature(logits, 0.99, share)
    assert (softmax(logits, least).max(axis=1) > 0.99).mean() <= share
    assert (softmax(logits, least * 0.99).max(axis=1) > 0.99).mean() > share


def test_without_sure_answers_the_least_temperature_is_the_lower_bound() -> None:
    assert least_temperature(np.zeros((5, 10)), 0.99, 0.0) == pytest.approx(0.05, abs=1e-3)


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
