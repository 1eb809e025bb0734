"""From arrays to the wire: packs what the batcher answered into columns and item errors."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from google.protobuf.internal.containers import RepeatedCompositeFieldContainer
from inkstream.v1 import error_pb2, tensor_pb2

from inkstream_server.admission import Overloaded, QueueFull, WouldBeLate
from inkstream_server.batching import DeadlineExpired, EngineFailed
from inkstream_server.blocks import Share
from inkstream_server.doubts import NO_INK
from inkstream_server.metrics import Metrics, Outcome

OUTCOME_OF_CODE: Final[dict[int, Outcome]] = {
    error_pb2.ERROR_CODE_INVALID_ARGUMENT: "invalid",
    error_pb2.ERROR_CODE_DEADLINE_EXCEEDED: "expired",
    error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED: "overloaded",
    error_pb2.ERROR_CODE_UNIMPLEMENTED: "unimplemented",
    error_pb2.ERROR_CODE_INTERNAL: "failed",
}
"""How an item with an error of this code is counted."""

_CODE_OF_EXCEPTION: Final[dict[type[Exception], error_pb2.ErrorCode]] = {
    QueueFull: error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED,
    WouldBeLate: error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED,
    DeadlineExpired: error_pb2.ERROR_CODE_DEADLINE_EXCEEDED,
    EngineFailed: error_pb2.ERROR_CODE_INTERNAL,
}


def append_results(
    results: "RepeatedCompositeFieldContainer[tensor_pb2.TensorResults]",
    sequences: Sequence[int],
    shares: Sequence[Share],
    options: tensor_pb2.AnswerOptions,
    arrived: float,
) -> None:
    """Append answers to a response; `finish_doubts` comes after the last of them.

    Args:
        results: the response's groups; the last one goes on as long as the model stays the same.
        sequences: the caller's numbers, one a row of the shares.
        shares: rows of batches, in order.
        options: which columns are wanted.
        arrived: when the frames arrived, on the clock of `time.perf_counter`, in seconds.
    """
    first = 0
    for share in shares:
        batch, start, stop = share.batch, share.start, share.stop
        rows = stop - start
        if not results or results[-1].model_version != batch.label:
            results.add(model_version=batch.label)
        group = results[-1]
        group.sequences.extend(sequences[first : first + rows])
        group.digits.extend(batch.digits[start:stop])
        group.confidences.extend(batch.confidences[start:stop])
        if options.top_k:
            probabilities = batch.probabilities[start:stop]
            # Stable, so that the first of equals is the digit that argmax names.
            best = np.argsort(-probabilities, axis=1, kind="stable")[:, : options.top_k]
            group.top_digits.extend(best.ravel().tolist())
            group.top_confidences.extend(
                np.take_along_axis(probabilities, best, axis=1).ravel().tolist()
            )
        if options.probabilities:
            group.probabilities.extend(batch.probabilities[start:stop].ravel().tolist())
        if options.timings:
            queued = max(0, round((batch.started - arrived) * 1e6))
            group.queued_us.extend([queued] * rows)
            group.inferred_us.extend([round(batch.seconds * 1e6)] * rows)
        if batch.reasons is not None or batch.doubts is not None:
            _append_doubts(group, share)
        first += rows


def _append_doubts(group: tensor_pb2.TensorResults, share: Share) -> None:
    """Fill the columns of reasons and warnings as far as any row of the group so far needs them."""
    batch, start, stop = share.batch, share.start, share.stop
    masks = batch.doubts[start:stop] if batch.doubts else [0] * (stop - start)
    reasons: list[Any] = batch.reasons[start:stop] if batch.reasons else [0] * (stop - start)
    # No ink is decided by rule, whatever the network reads in nothing.
    reasons = [
        error_pb2.REJECT_REASON_NO_INK if mask & NO_INK else reason
        for mask, reason in zip(masks, reasons, strict=True)
    ]
    masks = [mask & ~NO_INK for mask in masks]
    before = len(group.sequences) - (stop - start)
    columns: Any = ((group.reject_reasons, reasons), (group.warnings, masks))
    for column, values in columns:
        if column or any(values):
            column.extend([0] * (before - len(column)) + values)


def finish_doubts(
    results: "RepeatedCompositeFieldContainer[tensor_pb2.TensorResults]", metrics: Metrics
) -> None:
    """Bring the columns of reasons and warnings to full length where they are present, and count them."""
    for group in results:
        columns: Any = ((group.reject_reasons, metrics.rejected), (group.warnings, metrics.warned))
        for column, count in columns:
            if column:
                column.extend([0] * (len(group.sequences) - len(column)))
                for value in filter(None, column):
                    count(value)


def refuse(sequences: Sequence[int], failure: Exception) -> list[error_pb2.ItemError]:
    """Turn what the batcher raised for a block into one error for each of its items."""
    code = _CODE_OF_EXCEPTION[type(failure)]
    retry = failure.retry_after_ms if isinstance(failure, Overloaded) else 0
    return [
        error_pb2.ItemError(
            sequence=sequence, code=code, message=str(failure), retry_after_ms=retry
        )
        for sequence in sequences
    ]
