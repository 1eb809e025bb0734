import numpy as np
import pytest
from inkstream_training.evaluate import Answers
from inkstream_training.pictures import MISTAKES, worst_mistakes


def answers(labels: list[int], digits: list[int], confidences: list[float]) -> Answers:
    probabilities = np.empty((len(digits), 10), np.float32)
    probabilities[:] = (1 - np.array(confidences)[:, None]) / 9
    probabilities[range(len(digits)), digits] = confidences
    images = np.zeros((len(labels), 28, 28), np.uint8)
    return Answers("pen", images, np.array(labels), probabilities, None)


def test_the_worst_mistakes_are_those_that_leave_the_right_digit_least() -> None:
    found = worst_mistakes(answers([1, 2, 3, 4], [1, 7, 7, 7], [0.9, 0.6, 0.99, 0.8]))
    assert found.tolist() == [2, 3, 1]


def test_no_mistakes_make_no_sheet() -> None:
    assert worst_mistakes(answers([1, 2], [1, 2], [0.9, 0.6])).size == 0


@pytest.mark.parametrize(("wrong", "shown"), [(5, 5), (MISTAKES + 9, MISTAKES)])
def test_a_sheet_holds_at_most_64(wrong: int, shown: int) -> None:
    assert len(worst_mistakes(answers([1] * wrong, [2] * wrong, [0.5] * wrong))) == shown
