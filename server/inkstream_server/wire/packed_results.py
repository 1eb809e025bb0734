"""Answers to tensors as bytes: columns of `TensorResults`, written by hand.

Protobuf's library takes each number from a Python object, 17 microseconds for 64 images; an array's memory
already is the column. The bytes are ordinary protobuf: tests compare them with what the library reads and
writes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Final

import numpy as np
from inkstream.v1 import error_pb2, tensor_pb2

from inkstream_server.batching.results import Share
from inkstream_server.confidence.image_warnings import NO_INK
from inkstream_server.wire.answer_options import AnswerOptions

# Tags of fields, (number << 3) | 2: each is a run of bytes behind its length.
_SEQUENCES, _DIGITS, _CONFIDENCES = b"\x0a", b"\x12", b"\x1a"
_REJECT_REASONS, _WARNINGS, _MODEL_VERSION = b"\x4a", b"\x52", b"\x5a"
BYTE: Final = [bytes((value,)) for value in range(256)]
"""Each byte by itself."""
_TENSORS_OF_STREAM: Final = b"\x12"
"""Field 2 of `StreamRecognizeResponse`."""


@dataclass(slots=True)
class PackedResults:
    """Answers to some frames, made by one model."""

    label: str
    """The model, as answers name it."""
    rows: int
    packed: bytes
    """All columns but the next two, serialised."""
    reasons: list[int] | None
    """A `RejectReason` for each row; None if no row is rejected."""
    warnings: list[int] | None
    """A mask of `ImageWarning` for each row; None if no row has one."""


def sequences_column(sequences: Sequence[int]) -> bytes:
    """Write the callers' sequence numbers."""
    if len(sequences) == 1:
        number = varint(sequences[0])
        return _SEQUENCES + BYTE[len(number)] + number
    return tensor_pb2.TensorResults(sequences=sequences).SerializeToString()


def pack_results(
    sequences: Sequence[int],
    shares: Sequence[Share],
    options: AnswerOptions | None,
    arrived: float,
) -> list[PackedResults]:
    """Write answers, one entry for each share.

    Args:
        sequences: the caller's numbers, one a row of the shares.
        shares: rows of batches, in order.
        options: what answers hold beside digits and confidences; None for nothing.
        arrived: when the frames arrived, on the clock of `time.perf_counter`, in seconds.
    """
    if len(shares) == 1:
        return [_of_share(sequences, shares[0], options, arrived)]
    found, first = [], 0
    for share in shares:
        rows = share.stop - share.start
        found.append(_of_share(sequences[first : first + rows], share, options, arrived))
        first += rows
    return found


def _of_share(
    sequences: Sequence[int],
    share: Share,
    options: AnswerOptions | None,
    arrived: float,
) -> PackedResults:
    batch, start, stop = share.batch, share.start, share.stop
    rows = stop - start
    packed = b"".join(
        (
            sequences_column(sequences),
            _DIGITS,
            varint(rows),
            batch.digit_column[start:stop],
            _CONFIDENCES,
            varint(4 * rows),
            batch.confidence_column[4 * start : 4 * stop],
        )
    )
    if options is not None:
        packed += _options_of(share, options, arrived)
    if batch.reasons is None and batch.warnings is None:
        return PackedResults(batch.label, rows, packed, None, None)
    reasons = batch.reasons[start:stop] if batch.reasons else [0] * rows
    masks = batch.warnings[start:stop] if batch.warnings else [0] * rows
    if any(masks):
        # A rule decides about empty images, whatever the network says.
        reasons = [
            error_pb2.REJECT_REASON_NO_INK if mask & NO_INK else reason
            for mask, reason in zip(masks, reasons, strict=True)
        ]
        masks = [mask & ~NO_INK for mask in masks]
    return PackedResults(
        batch.label,
        rows,
        packed,
        reasons if any(reasons) else None,
        masks if any(masks) else None,
    )


def _options_of(share: Share, options: AnswerOptions, arrived: float) -> bytes:
    """Write the columns that the options ask for."""
    batch, start, stop = share.batch, share.start, share.stop
    group = tensor_pb2.TensorResults()
    probabilities = batch.probabilities[start:stop]
    if options.top_k:
        # Stable, so that among equals the first is argmax's digit.
        best = np.argsort(-probabilities, axis=1, kind="stable")[:, : options.top_k]
        group.top_digits.extend(best.ravel().tolist())
        group.top_confidences.extend(
            np.take_along_axis(probabilities, best, axis=1).ravel().tolist()
        )
    if options.probabilities:
        group.probabilities.extend(probabilities.ravel().tolist())
    if options.timings:
        queued = max(0, round((batch.started - arrived) * 1e6))
        group.queued_us.extend([queued] * (stop - start))
        group.inferred_us.extend([round(batch.seconds * 1e6)] * (stop - start))
    return group.SerializeToString()


def serialize(results: Sequence[PackedResults]) -> list[bytes]:
    """Join results into serialised `TensorResults`, one for each run of results of one model."""
    return [_joined([*run]) for _, run in groupby(results, lambda entry: entry.label)]


def stream_message(results: Sequence[PackedResults]) -> bytes:
    """Write results as the field `tensors` of a `StreamRecognizeResponse`."""
    if len(results) == 1:
        body = _joined(results)
        return b"".join((_TENSORS_OF_STREAM, varint(len(body)), body))
    return b"".join(
        part
        for body in serialize(results)
        for part in (_TENSORS_OF_STREAM, varint(len(body)), body)
    )


def _joined(group: Sequence[PackedResults]) -> bytes:
    """Join answers of one model. A packed field may come in several runs: readers join them."""
    parts = [entry.packed for entry in group]
    rows = [entry.rows for entry in group]
    reasons, warnings = [entry.reasons for entry in group], [entry.warnings for entry in group]
    if any(reasons):
        parts += _padded(_REJECT_REASONS, rows, reasons)
    if any(warnings):
        parts += _padded(_WARNINGS, rows, warnings)
    parts.append(_model_version(group[0].label))
    return b"".join(parts)


def _padded(
    tag: bytes, rows: Sequence[int], runs: Sequence[list[int] | None]
) -> tuple[bytes, bytes, bytes]:
    """Write a column of numbers below 128 that some runs of rows have and others lack."""
    column = b"".join([bytes(run or count) for count, run in zip(rows, runs, strict=True)])
    return tag, varint(len(column)), column


@lru_cache
def _model_version(label: str) -> bytes:
    name = label.encode()
    return b"".join((_MODEL_VERSION, varint(len(name)), name))


def varint(number: int) -> bytes:
    """Write a number as protobuf does: seven bits a byte, lowest first, all but the last marked."""
    if number < 128:
        return BYTE[number]
    if number < 16384:
        return BYTE[number & 127 | 128] + BYTE[number >> 7]
    marked = []
    while number >= 128:
        marked.append(number & 127 | 128)
        number >>= 7
    return bytes((*marked, number))
