from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inkstream.v1 import error_pb2, tensor_pb2
from inkstream.v1.recognition_service_pb2 import StreamRecognizeResponse
from inkstream_server.batching.admission import QueueFull, WouldBeLate
from inkstream_server.batching.results import Batch, DeadlineExpired, EngineFailed, Share
from inkstream_server.metrics.items import OUTCOME_OF_CODE, OUTCOMES
from inkstream_server.wire import response as answers
from inkstream_server.wire.answer_options import AnswerOptions
from inkstream_server.wire.packed_results import pack_results


def batch(rows: int = 6, label: str = "digits/1", seed: int = 0) -> Batch:
    logits = np.random.default_rng(seed).normal(size=(rows, 10))
    probabilities = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
    return Batch(label, probabilities, started=10.5, seconds=0.002)


def pack(
    *shares: Share, first: int = 0, arrived: float = 10.0, **options: int | bool
) -> list[tensor_pb2.TensorResults]:
    rows = sum(share.stop - share.start for share in shares)
    wanted = AnswerOptions(**options)  # type: ignore[arg-type]
    response = answers.Response()
    numbers = range(first, first + rows)
    response.results += pack_results(numbers, shares, wanted if options else None, arrived)
    return [*StreamRecognizeResponse.FromString(response.to_bytes()).tensors]


def table(values: object, width: int) -> npt.NDArray[np.float32]:
    return np.array(values, np.float32).reshape(-1, width)


def test_each_row_holds_its_best_digit_and_its_probability() -> None:
    whole = batch()
    (group,) = pack(Share(whole, 2, 5), first=7)
    assert [*group.sequences] == [7, 8, 9]
    assert [*group.digits] == whole.probabilities[2:5].argmax(axis=1).tolist()
    assert [*group.confidences] == whole.probabilities[2:5].max(axis=1).tolist()
    assert group.model_version == "digits/1"


def test_only_requested_fields_are_sent() -> None:
    (group,) = pack(Share(batch(), 0, 6))
    present = {field.name for field, _ in group.ListFields()}
    assert present == {"sequences", "digits", "confidences", "model_version"}


@given(st.integers(1, 10), st.integers(0, 1000))
def test_the_top_k_are_sorted_and_begin_with_the_digit(top_k: int, seed: int) -> None:
    whole = batch(seed=seed)
    (group,) = pack(Share(whole, 1, 4), top_k=top_k)
    digits = table(group.top_digits, top_k).astype(int)
    confidences = table(group.top_confidences, top_k)
    assert digits[:, 0].tolist() == [*group.digits]
    assert (np.diff(confidences, axis=1) <= 0).all()
    best = -np.sort(-whole.probabilities[1:4], axis=1)[:, :top_k]
    np.testing.assert_array_equal(confidences, best)
    np.testing.assert_array_equal(
        np.take_along_axis(whole.probabilities[1:4], digits, axis=1), confidences
    )


def test_the_first_of_equal_probabilities_is_the_digit() -> None:
    level = Batch("digits/1", np.full((1, 10), 0.1, np.float32), 0.0, 0.0)
    (group,) = pack(Share(level, 0, 1), top_k=3)
    assert [*group.digits] == [0]
    assert [*group.top_digits] == [0, 1, 2]


def test_probabilities_are_those_of_the_digits_in_order() -> None:
    whole = batch()
    (group,) = pack(Share(whole, 3, 6), probabilities=True)
    np.testing.assert_array_equal(table(group.probabilities, 10), whole.probabilities[3:6])


def test_timings_separate_the_wait_from_the_computation() -> None:
    (group,) = pack(Share(batch(), 0, 2), timings=True)
    assert [*group.queued_us] == [500_000] * 2
    assert [*group.inferred_us] == [2000] * 2


def test_a_wait_is_never_negative() -> None:
    (group,) = pack(Share(batch(), 0, 1), arrived=99.0, timings=True)
    assert [*group.queued_us] == [0]


def test_shares_of_one_model_form_one_group_and_a_new_model_begins_another() -> None:
    groups = pack(
        Share(batch(label="digits/1"), 0, 2),
        Share(batch(label="digits/1"), 4, 5),
        Share(batch(label="digits/2"), 0, 3),
    )
    found = [(group.model_version, [*group.sequences]) for group in groups]
    assert found == [("digits/1", [0, 1, 2]), ("digits/2", [3, 4, 5])]


@pytest.mark.parametrize(
    ("failure", "code", "outcome"),
    [
        (QueueFull("full", 250), error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED, "overloaded"),
        (WouldBeLate("late", 250), error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED, "overloaded"),
        (DeadlineExpired("late"), error_pb2.ERROR_CODE_DEADLINE_EXCEEDED, "expired"),
        (EngineFailed("broken"), error_pb2.ERROR_CODE_INTERNAL, "failed"),
    ],
)
def test_a_failure_becomes_one_error_an_item_with_its_code(
    failure: Exception, code: error_pb2.ErrorCode, outcome: str
) -> None:
    errors = answers.shared_error([3, 4], failure).errors()
    assert [(error.sequence, error.code, error.message) for error in errors] == [
        (3, code, str(failure)),
        (4, code, str(failure)),
    ]
    assert OUTCOME_OF_CODE[code] == outcome


def test_only_overload_errors_carry_a_retry_after() -> None:
    assert answers.shared_error([1], QueueFull("full", 250)).error.retry_after_ms == 250
    assert answers.shared_error([1], WouldBeLate("late", 400)).error.retry_after_ms == 400
    assert answers.shared_error([1], DeadlineExpired("late")).error.retry_after_ms == 0


@given(
    sequences=st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 300)),
    failure=st.builds(WouldBeLate, st.text(), st.integers(0, 10_000)),
)
def test_packed_errors_equal_those_of_protobuf(sequences: list[int], failure: Exception) -> None:
    response, shared = answers.Response(), answers.shared_error(sequences, failure)
    response.shared_errors += [shared, shared]
    response.errors.append(error_pb2.ItemError(sequence=1, field="x"))
    read = StreamRecognizeResponse.FromString(response.to_bytes())
    by_protobuf = [*response.errors, *shared.errors(), *shared.errors()]
    assert [*read.errors] == by_protobuf
    assert response.error_count == len(by_protobuf)


def test_every_outcome_of_an_error_is_one_that_is_counted() -> None:
    assert {*OUTCOME_OF_CODE.values()} < {*OUTCOMES}
