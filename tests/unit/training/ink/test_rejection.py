import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inkstream_training.ink.rejection import (
    RejectRule,
    auroc,
    choose,
    confidence,
    false_positive_rate,
)

Floats = npt.NDArray[np.float64]


def scores(*values: float) -> Floats:
    return np.array(values)


def rows(*confidences: float) -> Floats:
    """Rows that answer 3 with the given confidence; the rest is spread over the others."""
    probabilities = np.repeat((1.0 - scores(*confidences))[:, None] / 9.0, 10, axis=1)
    probabilities[:, 3] = confidences
    return probabilities


def test_auroc_of_a_hand_computed_case() -> None:
    # In six pairs 0.9 wins three; 0.4 wins against 0.1, ties with 0.4 and loses to 0.6.
    assert auroc(scores(0.9, 0.4), scores(0.1, 0.4, 0.6)) == pytest.approx(4.5 / 6)


def test_auroc_of_separate_equal_and_reversed_scores() -> None:
    assert auroc(scores(0.8, 0.9), scores(0.1, 0.2)) == 1.0
    assert auroc(scores(0.5, 0.5), scores(0.5)) == 0.5
    assert auroc(scores(0.1, 0.2), scores(0.8, 0.9)) == 0.0


levels = st.lists(st.integers(0, 8), min_size=1, max_size=20)


@given(levels, levels)
def test_auroc_is_the_share_of_pairs(digits: list[int], others: list[int]) -> None:
    pairs = [(a > b) + 0.5 * (a == b) for a in digits for b in others]
    assert auroc(np.array(digits), np.array(others)) == pytest.approx(float(np.mean(pairs)))


def test_false_positives_at_95_percent_of_a_hand_computed_case() -> None:
    # One of twenty digits may be rejected, so the threshold is the second lowest, 0.10.
    digits = np.arange(1, 21) / 20
    assert false_positive_rate(digits, scores(0.05, 0.09, 0.10, 0.5)) == 0.5


@pytest.mark.parametrize(("digits", "others"), [((), (0.5,)), ((0.5,), ())])
def test_one_class_alone_is_refused(digits: tuple[float, ...], others: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="at least one each"):
        auroc(scores(*digits), scores(*others))


def test_thresholds_of_a_hand_computed_case() -> None:
    # A hundred pen digits: one at 0.2 may go as no digit, so the next, 0.5, is kept. The wrong
    # answers at 0.6 and 0.5 must go; above them all are right.
    pen = rows(*[0.99] * 97, 0.6, 0.5, 0.2)
    labels = np.array([3] * 97 + [7, 7, 3])
    mnist = rows(*[0.99] * 50, 0.7, 0.65)
    rule = choose({"mnist": (mnist, np.array([3] * 50 + [3, 7])), "pen": (pen, labels)})
    assert rule.not_a_digit_below == 0.5
    # MNIST's wrong answer at 0.65 is left out by 0.7, pen's by 0.99: the stricter one counts.
    assert rule.unsure_below == 0.99
    assert "mnist, pen" in rule.chosen


def test_without_errors_unsure_begins_at_the_lowest_right_answer() -> None:
    right = (rows(0.9, 0.8), np.array([3, 3]))
    rule = choose({"mnist": right, "pen": right})
    assert rule.not_a_digit_below <= rule.unsure_below == 0.8


def test_the_score_is_the_largest_probability() -> None:
    np.testing.assert_array_equal(confidence(rows(0.9, 0.4)), [0.9, 0.4])
    assert RejectRule(0.3, 0.6, "max_probability", "").score == "max_probability"
