from __future__ import annotations

import pickle
from typing import Any

import numpy as np
from inkstream import ImageWarning, Model, RejectReason
from inkstream._results.images import Answers
from inkstream.v1 import error_pb2, tensor_pb2


def test_a_row_reads_its_own_part_of_every_column() -> None:
    columns = tensor_pb2.TensorResults(
        sequences=[4, 5],
        digits=[7, 1],
        confidences=[0.5, 0.25],
        top_digits=[7, 2, 1, 4],
        top_confidences=[0.5, 0.25, 0.25, 0.125],
        probabilities=[0.0] * 10 + [0.5] * 10,
        queued_us=[1000, 2000],
        inferred_us=[10, 20],
        reject_reasons=[error_pb2.REJECT_REASON_UNSPECIFIED, error_pb2.REJECT_REASON_UNSURE],
        warnings=[0, 1 << error_pb2.WARNING_INVERTED | 1 << error_pb2.WARNING_SCALE],
        model_version="digits/1",
    )
    first, second = Answers(columns).rows(0, 2)
    assert (first.digit, first.confidence, first.model) == (7, 0.5, "digits/1")
    assert first.alternatives == ((7, 0.5), (2, 0.25))
    assert (first.rejected, first.reason, first.warnings) == (False, None, ())
    assert second.alternatives == ((1, 0.25), (4, 0.125))
    assert second.probabilities is not None
    np.testing.assert_array_equal(second.probabilities, np.full(10, 0.5, np.float32))
    assert second.probabilities.dtype == np.float32
    assert (second.queued, second.inferred) == (0.002, 0.00002)
    assert (second.rejected, second.reason) == (True, RejectReason.UNSURE)
    assert second.warnings == (ImageWarning.INVERTED, ImageWarning.SCALE)
    assert (
        repr(second)
        == "Result(digit=1, confidence=0.2500, reason=UNSURE, warnings=(INVERTED, SCALE))"
    )


def test_fields_that_were_not_requested_are_absent() -> None:
    columns = tensor_pb2.TensorResults(sequences=[1], digits=[3], confidences=[0.5])
    (result,) = Answers(columns).rows(0, 1)
    assert result.alternatives == ()
    assert result.probabilities is None
    assert (result.queued, result.inferred, result.reason) == (None, None, None)
    assert (result.rejected, result.warnings) == (False, ())
    assert repr(result) == "Result(digit=3, confidence=0.5000)"


def test_an_unknown_reason_of_a_newer_server_still_rejects() -> None:
    columns = tensor_pb2.TensorResults(
        sequences=[1],
        digits=[3],
        confidences=[0.5],
        reject_reasons=[9],  # type: ignore[list-item]
    )
    (result,) = Answers(columns).rows(0, 1)
    assert (result.rejected, result.reason) == (True, None)
    assert repr(result) == "Result(digit=3, confidence=0.5000, rejected=True)"


def test_results_can_be_sent_to_another_process() -> None:
    columns = tensor_pb2.TensorResults(sequences=[1], digits=[3], confidences=[0.5])
    (result,) = Answers(columns).rows(0, 1)
    again = pickle.loads(pickle.dumps(result))
    assert again == result


def test_reasons_and_warnings_print_as_words() -> None:
    assert f"{RejectReason.NOT_A_DIGIT}, {ImageWarning.OFF_CENTRE}" == "not a digit, off centre"


def test_results_with_equal_fields_are_equal() -> None:
    columns: dict[str, Any] = {
        "sequences": [1, 2],
        "digits": [3, 3],
        "confidences": [0.5, 0.5],
        "probabilities": [0.1] * 20,
        "model_version": "digits/1",
    }
    first, second = Answers(tensor_pb2.TensorResults(**columns)).rows(0, 2)
    assert first == second
    assert len({first, second}) == 1
    others: list[dict[str, Any]] = [
        {"confidences": [0.25, 0.5]},
        {"probabilities": [0.2] * 20},
        {"model_version": "digits/2"},
        {"warnings": [2, 2]},
        {"queued_us": [1, 1]},
        {"reject_reasons": [9, 9]},
        {"top_digits": [3, 3], "top_confidences": [0.5, 0.5]},
    ]
    for other in others:
        (row,) = Answers(tensor_pb2.TensorResults(**columns | other)).rows(0, 1)
        assert row != first
    assert first != (3, 0.5)


def test_the_enums_are_those_of_the_contract() -> None:
    assert {r.value: f"REJECT_REASON_{r.name}" for r in RejectReason} == {
        number: name for name, number in error_pb2.RejectReason.items() if number
    }
    assert {w.value: f"WARNING_{w.name}" for w in ImageWarning} == {
        number: name for name, number in error_pb2.Warning.items() if number
    }


def test_the_repr_of_a_model_is_short_and_its_card_complete() -> None:
    model = Model("digits", "1", "litert", "0" * 64, card_json='{"seeds": [1]}' * 1000)
    assert len(repr(model)) < 160
    assert "name='digits', version='1'" in repr(model)
    assert model.card_json.startswith('{"seeds": [1]}')
