import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from inkstream.v1 import error_pb2
from inkstream_server.confidence.rejection import rule_of
from inkstream_training.ink.collection import InkSet
from inkstream_training.ink.figures import InkAnswers, answered, flat, measure_ink
from inkstream_training.ink.rejection import RejectRule
from inkstream_training.ink.rendering import Drawn

RULE = RejectRule(0.4, 0.8, "max_probability", "by hand")


def rows(digits: list[int], confidences: list[float]) -> npt.NDArray[np.float32]:
    """Rows of probabilities with the given largest value; the rest is spread over the others."""
    found = np.empty((len(digits), 10), np.float32)
    found[:] = (1 - np.array(confidences)[:, None]) / 9
    found[range(len(digits)), digits] = confidences
    return found


def blank(n: int) -> Drawn:
    return Drawn(np.zeros((n, 28, 28), np.uint8), np.zeros((n, 64, 7), np.float32))


SET = InkSet(
    digits=blank(5),
    labels=np.array([1, 2, 3, 4, 5], np.int32),
    sources=np.array(["pendigits", "pendigits", "pendigits", "uji", "uji"]),
    writers=np.array(["5", "5", "10", "W05", "W05"]),
    halves=blank(5),
    letters=blank(3),
    letter_labels=np.array(["K", "O", "#"]),
)
ANSWERS = InkAnswers(
    digits=rows([1, 7, 3, 4, 5], [0.9, 0.85, 0.95, 0.7, 0.3]),
    halves=rows([1, 1, 1, 1, 1], [0.995, 0.985, 0.5, 0.3, 0.2]),
    letters=rows([0, 0, 0], [0.2, 0.99, 0.75]),
)


@pytest.fixture
def found() -> dict[str, Any]:
    mnist = rows([1, 2], [0.9, 0.5]), np.array([1, 2])
    return flat(measure_ink(ANSWERS, SET, mnist, RULE))


def test_digits_are_counted_overall_by_source_and_by_writer(found: dict[str, Any]) -> None:
    assert found["pen.errors"] == 1
    assert found["sources.pendigits.metrics.accuracy"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["sources.pendigits.worst_writer"] == "5"
    assert found["sources.pendigits.worst_accuracy"] == 0.5
    assert found["sources.pendigits.writers.10.accuracy"] == 1.0
    assert found["sources.pendigits.writer_mean"] == 0.75
    assert found["sources.uji.writers.W05.examples"] == 2


def test_letters_that_look_like_digits_are_reported_apart(found: dict[str, Any]) -> None:
    assert found["no_digits.examples"] == 2
    assert found["look_alikes.examples"] == 1
    # In ten pairs of a digit and K or #, the digits with 0.7 and 0.3 lose against the # with 0.75.
    assert found["no_digits.auroc"] == pytest.approx(0.8)
    assert found["look_alikes.auroc"] == 0.0
    assert found["no_digits.rejected"] == 1.0
    assert found["look_alikes.rejected"] == 0.0


def test_half_drawn_digits_count_as_sure_only_above_99_percent(found: dict[str, Any]) -> None:
    assert found["half_ink.sure"] == 0.2
    assert found["half_ink.rejected"] == 0.6


def test_a_rule_answers_the_same_digits_as_the_server() -> None:
    card = json.dumps({"reject": {"not_a_digit_below": 0.4, "unsure_below": 0.8}})
    reasons = rule_of(card).reasons(ANSWERS.digits)
    assert reasons is not None
    shares = answered(ANSWERS.digits, SET.labels, RULE)
    assert shares.answered == reasons.count(0) / 5 == 0.6
    assert shares.not_a_digit == reasons.count(error_pb2.REJECT_REASON_NOT_A_DIGIT) / 5
    assert shares.unsure == reasons.count(error_pb2.REJECT_REASON_UNSURE) / 5
    assert shares.error == pytest.approx(1 / 3, abs=1e-6)


def test_a_rule_that_answers_nothing_makes_no_error() -> None:
    all_rejected = RejectRule(1.0, 1.0, "max_probability", "by hand")
    shares = answered(ANSWERS.digits, SET.labels, all_rejected)
    assert (shares.answered, shares.error, shares.not_a_digit) == (0.0, 0.0, 1.0)
