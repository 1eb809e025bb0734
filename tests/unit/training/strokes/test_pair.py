import numpy as np
import numpy.typing as npt
import pytest
from inkstream_training.calibration import log_softmax, softmax
from inkstream_training.ink.figures import SURE
from inkstream_training.metrics import negative_log_likelihood
from inkstream_training.strokes.pair import PairWeights, fit_pair

Logs = npt.NDArray[np.float64]


def evidence(labels: npt.NDArray[np.int64], strength: float, seed: int) -> Logs:
    """What a network says that sees each digit through noise of its own: calibrated by construction."""
    seen = np.random.default_rng(seed).normal(0.0, 1.0, (len(labels), 10))
    seen[np.arange(len(labels)), labels] += strength
    return log_softmax(strength * seen)


LABELS = np.random.default_rng(0).integers(0, 10, 4000)
WRITERS = np.array([f"w{at % 40}" for at in range(len(LABELS))])
NOTHING = evidence(LABELS[:500], 0.0, 9), evidence(LABELS[:500], 0.0, 9)


def test_two_calibrated_independent_networks_count_alike_and_in_full() -> None:
    digits = evidence(LABELS, 2.5, 1), evidence(LABELS, 2.5, 2)
    weights = fit_pair(digits, LABELS, WRITERS, NOTHING, 0.03)
    assert weights.image == pytest.approx(1.0, abs=0.1)
    assert weights.strokes == pytest.approx(1.0, abs=0.1)


def test_a_network_that_knows_nothing_does_not_count() -> None:
    weights = fit_pair(
        (evidence(LABELS, 2.5, 1), evidence(LABELS, 0.0, 2)), LABELS, WRITERS, NOTHING, 0.03
    )
    assert weights.image == pytest.approx(1.0, abs=0.1)


def test_networks_that_say_the_same_count_once() -> None:
    same = evidence(LABELS, 2.5, 1)
    weights = fit_pair((same, same), LABELS, WRITERS, NOTHING, 0.03)
    assert weights.image + weights.strokes == pytest.approx(1.0, abs=0.1)


def test_no_other_weights_near_by_are_likelier() -> None:
    digits = evidence(LABELS, 2.0, 1), evidence(LABELS, 1.2, 2)
    found = fit_pair(digits, LABELS, WRITERS, NOTHING, 0.03)

    def loss(image: float, strokes: float) -> float:
        return negative_log_likelihood(softmax(image * digits[0] + strokes * digits[1]), LABELS)

    least = loss(found.image, found.strokes)
    for image, strokes in ((0.03, 0), (-0.03, 0), (0, 0.03), (0, -0.03)):
        assert loss(found.image + image, found.strokes + strokes) >= least - 1e-5


def test_each_writer_counts_alike_whatever_they_wrote() -> None:
    # One writer of 3,600 digits, whom only the first network reads, and 40 writers of ten, whom only the
    # second one does.
    is_one = np.arange(len(LABELS)) < 3600
    writers = np.where(is_one, "one", np.char.add("w", (np.arange(len(LABELS)) % 40).astype(str)))
    nothing, much = evidence(LABELS, 0.0, 3), evidence(LABELS, 2.5, 1)
    digits = (
        np.where(is_one[:, None], much, nothing),
        np.where(is_one[:, None], evidence(LABELS, 2.5, 4)[:, ::-1], evidence(LABELS, 2.5, 5)),
    )
    found = fit_pair(digits, LABELS, writers, NOTHING, 0.03)
    by_digits = fit_pair(digits, LABELS, np.arange(len(LABELS)).astype(str), NOTHING, 0.03)
    assert found.strokes / found.image > 2 * by_digits.strokes / by_digits.image


def test_weights_are_lowered_until_few_half_digits_are_sure() -> None:
    digits = evidence(LABELS, 3.0, 1), evidence(LABELS, 3.0, 2)
    halves = digits[0][:1000], digits[1][:1000]
    found = fit_pair(digits, LABELS, WRITERS, halves, 0.03)
    image, strokes = (softmax(it).astype(np.float32) for it in halves)
    sure = (found.combine(image, strokes).max(axis=1) > SURE).mean()
    assert 0.02 < sure <= 0.03


def test_the_combination_is_the_server_s() -> None:
    image, strokes = (softmax(evidence(LABELS[:9], 1.0, it)).astype(np.float32) for it in (1, 2))
    expected = image**0.5 * strokes**0.25
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(PairWeights(0.5, 0.25).combine(image, strokes), expected, atol=1e-6)
