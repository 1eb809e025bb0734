from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from inkstream.v1 import error_pb2, tensor_pb2
from inkstream.v1.recognition_service_pb2 import StreamRecognizeResponse
from inkstream_server.batching.results import Batch, Share
from inkstream_server.confidence.image_warnings import NO_INK
from inkstream_server.confidence.rejection import RejectRule
from inkstream_server.wire.answer_options import AnswerOptions
from inkstream_server.wire.packed_results import (
    PackedResults,
    pack_results,
    serialize,
    stream_message,
    varint,
)

numbers = st.integers(0, 2**64 - 1)


@given(numbers)
def test_a_packed_number_equals_that_of_protobuf(number: int) -> None:
    by_protobuf = tensor_pb2.TensorResults(sequences=[number]).SerializeToString()
    assert by_protobuf == b"\x0a" + varint(len(varint(number))) + varint(number)


def expected(
    sequences: list[int], share: Share, options: AnswerOptions
) -> tensor_pb2.TensorResults:
    """The same answers as protobuf encodes them, field by field."""
    rows = [*range(share.start, share.stop)]
    batch = share.batch
    probabilities = [[float(it) for it in batch.probabilities[row]] for row in rows]
    ranked = [
        sorted(range(10), key=row.__getitem__, reverse=True)[: options.top_k]
        for row in probabilities
    ]
    masks = [batch.warnings[row] if batch.warnings else 0 for row in rows]
    reasons = [batch.reasons[row] if batch.reasons else 0 for row in rows]
    reasons = [
        error_pb2.REJECT_REASON_NO_INK if mask & NO_INK else reason
        for mask, reason in zip(masks, reasons, strict=True)
    ]
    masks = [mask & ~NO_INK for mask in masks]
    return tensor_pb2.TensorResults(
        sequences=sequences,
        digits=[row.index(max(row)) for row in probabilities],
        confidences=[max(row) for row in probabilities],
        top_digits=[digit for best in ranked for digit in best],
        top_confidences=[
            row[digit] for row, best in zip(probabilities, ranked, strict=True) for digit in best
        ],
        probabilities=[it for row in probabilities for it in row] if options.probabilities else [],
        queued_us=[500_000] * len(rows) if options.timings else [],
        inferred_us=[2000] * len(rows) if options.timings else [],
        reject_reasons=reasons if any(reasons) else [],  # type: ignore[arg-type]  # an enum's numbers
        warnings=masks if any(masks) else [],
        model_version=batch.label,
    )


@st.composite
def answered(draw: st.DrawFn) -> tuple[list[int], Share]:
    rows = draw(st.integers(1, 300))
    start = draw(st.integers(0, rows - 1))
    stop = draw(st.integers(start + 1, rows))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    probabilities = random.dirichlet(np.ones(10), rows).astype(np.float32)
    doubts = draw(st.none() | st.just(random.choice([0, 1, 2, 3, 4, 24], rows).tolist()))
    rule = draw(st.sampled_from([RejectRule(), RejectRule(0.3, 0.5), RejectRule(0.9, 1.0)]))
    label = draw(st.sampled_from(["digits/1", "digits/2"]))
    batch = Batch(label, probabilities, 10.5, 0.002, rule, doubts)
    first = draw(st.integers(0, 2**63))
    step = draw(st.integers(1, 1000))
    return [first + step * row for row in range(stop - start)], Share(batch, start, stop)


options = st.builds(
    AnswerOptions,
    top_k=st.integers(0, 10),
    probabilities=st.booleans(),
    timings=st.booleans(),
)


@given(answered(), options)
def test_packed_columns_equal_those_of_protobuf(
    answer: tuple[list[int], Share], wanted: AnswerOptions
) -> None:
    sequences, share = answer
    columns = pack_results(sequences, [share], wanted if wanted != AnswerOptions() else None, 10.0)
    made = StreamRecognizeResponse.FromString(stream_message(columns))
    assert made == StreamRecognizeResponse(tensors=[expected(sequences, share, wanted)])
    assert made.SerializeToString(deterministic=True) == StreamRecognizeResponse(
        tensors=[expected(sequences, share, wanted)]
    ).SerializeToString(deterministic=True)


@given(st.lists(answered(), min_size=1, max_size=5))
def test_answers_that_leave_together_keep_the_columns_of_every_row(
    parts: list[tuple[list[int], Share]],
) -> None:
    columns: list[PackedResults] = []
    for sequences, share in parts:
        columns += pack_results(sequences, [share], None, 10.0)
    made = StreamRecognizeResponse.FromString(stream_message(columns)).tensors
    assert [it.SerializeToString() for it in made] == [
        tensor_pb2.TensorResults.FromString(it).SerializeToString() for it in serialize(columns)
    ]
    rows = []
    for group in made:
        blank = [0] * len(group.sequences)
        rows += [
            (group.model_version, *row)
            for row in zip(
                group.sequences,
                group.digits,
                group.confidences,
                group.reject_reasons or blank,
                group.warnings or blank,
                strict=True,
            )
        ]
    wanted = []
    for sequences, share in parts:
        one = expected(sequences, share, AnswerOptions())
        blank = [0] * len(sequences)
        wanted += [
            (one.model_version, *row)
            for row in zip(
                one.sequences,
                one.digits,
                one.confidences,
                one.reject_reasons or blank,
                one.warnings or blank,
                strict=True,
            )
        ]
    assert rows == wanted
    labels = [group.model_version for group in made]
    assert all(one != two for one, two in pairwise(labels))


def test_a_block_of_several_batches_keeps_its_numbers() -> None:
    batch = Batch("digits/1", np.full((3, 10), 0.1, np.float32), 0.0, 0.0)
    columns = pack_results([5, 6, 9], [Share(batch, 2, 3), Share(batch, 0, 2)], None, 0.0)
    (group,) = StreamRecognizeResponse.FromString(stream_message(columns)).tensors
    assert [*group.sequences] == [5, 6, 9]
