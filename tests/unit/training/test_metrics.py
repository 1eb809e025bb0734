import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inkstream_training.metrics import (
    confusion,
    coverage,
    expected_calibration_error,
    measure,
    negative_log_likelihood,
)

Floats = npt.NDArray[np.float64]


def answers(*confidences: float) -> Floats:
    """Rows that answer 3 with the given confidence; the rest is spread over the others."""
    rows = np.repeat((1.0 - np.array(confidences))[:, None] / 9.0, 10, axis=1)
    rows[:, 3] = confidences
    return rows


def labels(right: str) -> npt.NDArray[np.int64]:
    """One label a letter: `y` is the 3 that was answered, `n` is a 7 that was not."""
    return np.array([3 if letter == "y" else 7 for letter in right])


def test_calibration_error_of_a_hand_computed_case() -> None:
    # Two in the bin (0.6, 0.667]: confidence 0.65, half right. Two in (0.933, 1]: 0.95, all right.
    error = expected_calibration_error(answers(0.65, 0.65, 0.95, 0.95), labels("ynyy"))
    assert error == pytest.approx(0.5 * 0.15 + 0.5 * 0.05)


def test_calibration_error_averages_each_bin_before_the_difference() -> None:
    # 0.61 and 0.66 share a bin; their surplus over one right answer in two is 1.27 - 1.
    error = expected_calibration_error(answers(0.61, 0.66), labels("yn"))
    assert error == pytest.approx(0.27 / 2)


def test_a_bin_includes_its_upper_end() -> None:
    at_edge = expected_calibration_error(answers(0.6, 0.65), labels("ny"), bins=10)
    assert at_edge == pytest.approx((0.6 + 0.35) / 2)


def test_certain_and_right_is_perfectly_calibrated() -> None:
    assert expected_calibration_error(answers(1.0, 1.0), labels("yy")) == 0.0


def test_coverage_of_a_hand_computed_case() -> None:
    rows, given = answers(0.99, 0.98, 0.97, 0.96, 0.95), labels("yyyny")
    assert coverage(rows, given, 0.0) == pytest.approx(3 / 5)
    assert coverage(rows, given, 0.19) == pytest.approx(3 / 5)
    assert coverage(rows, given, 0.20) == pytest.approx(5 / 5)


def test_coverage_may_grow_again_after_an_error() -> None:
    rows, given = answers(0.9, 0.8, 0.7, 0.6), labels("nyyy")
    assert coverage(rows, given, 0.25) == 1.0


def test_answers_of_equal_confidence_are_accepted_together() -> None:
    assert coverage(answers(0.9, 0.8, 0.8), labels("yyn"), 0.0) == pytest.approx(1 / 3)
    assert coverage(answers(0.9, 0.8, 0.8), labels("yny"), 0.0) == pytest.approx(1 / 3)


def test_coverage_is_zero_if_the_surest_answer_is_wrong() -> None:
    assert coverage(answers(0.9, 0.8), labels("ny"), 0.1) == 0.0


@given(st.lists(st.tuples(st.floats(0.2, 1.0), st.booleans()), min_size=1, max_size=40))
def test_coverage_never_shrinks_when_more_errors_are_allowed(
    given: list[tuple[float, bool]],
) -> None:
    rows = answers(*(confidence for confidence, _ in given))
    wanted = labels("".join("ny"[right] for _, right in given))
    found = [coverage(rows, wanted, error) for error in (0.0, 0.05, 0.2, 1.0)]
    assert found == sorted(found)
    assert found[-1] == 1.0


def test_likelihood_of_a_hand_computed_case() -> None:
    found = negative_log_likelihood(answers(0.5, 0.25), labels("yy"))
    assert found == pytest.approx((np.log(2) + np.log(4)) / 2)


def test_the_loss_of_a_right_digit_with_probability_zero_is_large_but_finite() -> None:
    assert negative_log_likelihood(answers(1.0), labels("n")) == pytest.approx(-np.log(1e-12))


def test_confusion_counts_labels_against_answers() -> None:
    counts = confusion(answers(0.9, 0.9, 0.9), labels("yyn"))
    assert counts[3, 3] == 2
    assert counts[7, 3] == 1
    assert counts.sum() == 3


def test_measure_returns_every_figure() -> None:
    figures = measure(answers(0.99, 0.98, 0.97, 0.96), labels("yyyn"))
    assert (figures.examples, figures.errors, figures.accuracy) == (4, 1, 0.75)
    assert figures.per_digit == {"3": 1.0, "7": 0.0}
    assert figures.coverage == {"0.01": 0.75, "0.005": 0.75, "0.001": 0.75}


@pytest.mark.parametrize("shape", [(0, 10), (4, 9), (3, 10)])
def test_probabilities_of_another_shape_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="probabilities: expected shape"):
        measure(np.full(shape, 0.1), labels("y" * (0 if shape[0] == 0 else 4)))
