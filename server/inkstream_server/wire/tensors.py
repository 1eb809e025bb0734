"""Reads `Tensors` messages into arrays, and makes an error of each bad frame."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil
from operator import lt
from typing import Final

import numpy as np
from inkstream.v1 import error_pb2, tensor_pb2
from numpy.typing import NDArray

from inkstream_server.engines import PIXELS, Frames

_ROUNDING = 1e-6
"""How far a float pixel may lie outside 0..1: float32 arithmetic on bytes stays well within."""


PART_GROUPS: Final = 32
"""Most groups of a part: to queue so many takes about a quarter of a millisecond, as does an answer."""

PART_ERRORS: Final = 128
"""Most errors of a part: to serialise so many takes as long."""


class TooManyFrames(Exception):
    """A message has more frames than the server allows; says how many.

    It is rejected as a whole: 4 MB of sequence numbers alone would be four million errors.
    """


# Not frozen: a frozen instance takes a microsecond longer to make, and every message makes one.
@dataclass(slots=True)
class Group:
    """Frames of one message that share a deadline."""

    sequences: list[int]
    """The caller's sequence numbers, one a frame."""
    frames: Frames
    """Shape (n, 784), uint8 0..255 or float32 0..1; a view of the message unless some frames were bad."""
    deadline_ms: int
    """Milliseconds from arrival; 0 for none."""


@dataclass(slots=True)
class Arrival:
    """The contents of one message."""

    groups: list[Group]
    """Frames to compute, in order."""
    errors: list[error_pb2.ItemError]
    """Errors of bad frames, each with its number."""
    items: int
    """Frames in the message, good and bad."""
    last_sequence: int
    """Highest number of the stream so far, this message included."""
    size: int = 0
    """Bytes of pixels that its groups keep in memory."""

    def parts(self) -> "Iterator[Arrival]":
        """Split what would take long at once; nearly always there is one part, itself."""
        groups, errors = self.groups, self.errors
        count = max(
            ceil(len(groups) / PART_GROUPS),
            ceil(len(errors) / PART_ERRORS),
            1,
        )
        if count == 1:
            yield self
            return
        for part in range(count):
            some = groups[part * PART_GROUPS : (part + 1) * PART_GROUPS]
            wrong = errors[part * PART_ERRORS : (part + 1) * PART_ERRORS]
            items = sum(len(group.sequences) for group in some) + len(wrong)
            yield Arrival(some, wrong, items, self.last_sequence)


def read(tensors: tensor_pb2.Tensors, *, after: int, max_frames: int) -> Arrival:
    """Read a message of a stream.

    Args:
        tensors: the message.
        after: highest number of the stream before it; -1 at first.
        max_frames: most frames in a message.

    Returns: every frame either in a group or in an error. If the message's columns do not fit together, every
        frame is an error, because no single frame is the wrong one.

    Raises:
        TooManyFrames: the message carries more than `max_frames`.
    """
    if len(tensors.sequences) > max_frames:
        raise TooManyFrames(
            f"tensors.sequences: a message may carry {max_frames} frames, "
            f"got {len(tensors.sequences)}; split it into several messages"
        )
    sequences = list(tensors.sequences)
    kind = tensors.WhichOneof("frames")
    pixels = tensors.uint8 if kind == "uint8" else tensors.float32
    deadlines = tensors.deadlines_ms
    if (
        kind == "uint8"
        and not deadlines
        and len(pixels) == PIXELS * len(sequences) > 0
        and _rise(sequences, after)
    ):
        # The fast path of nearly every message: all frames are good, and one group.
        frames = np.frombuffer(pixels, np.uint8).reshape(-1, PIXELS)
        return Arrival(
            [Group(sequences, frames, 0)], [], len(sequences), sequences[-1], len(pixels)
        )
    mismatch = _mismatch(kind, len(pixels), len(sequences), len(deadlines))
    if mismatch is not None:
        field, message = mismatch
        errors = [_invalid(sequence, field, message) for sequence in sequences]
        if not errors:
            # Frames without numbers can only be answered by one error without a number.
            error = error_pb2.ItemError(
                code=error_pb2.ERROR_CODE_INVALID_ARGUMENT, field=field, message=message
            )
            errors = [error]
        return Arrival([], errors, len(errors), max([after, *sequences]))

    faults: dict[int, error_pb2.ItemError] = {}
    if kind == "uint8":
        frames = np.frombuffer(pixels, np.uint8).reshape(-1, PIXELS)
    else:
        floats = np.frombuffer(pixels, "<f4").reshape(-1, PIXELS)
        faults |= _value_faults(floats, sequences)
        frames = floats
    last = sequences[-1]
    if not _rise(sequences, after):
        faults |= _order_faults(sequences, after)
        last = max([after, *sequences])

    limits: Sequence[int] = deadlines
    items = len(sequences)
    if faults:
        rows = [row for row in range(items) if row not in faults]
        frames = frames[rows]
        sequences = [sequences[row] for row in rows]
        limits = [deadlines[row] for row in rows] if len(deadlines) > 1 else deadlines
    groups = _groups(sequences, frames, limits)
    # Good frames between bad ones are copied, others are views of all pixels.
    size = frames.nbytes if faults else len(pixels)
    return Arrival(groups, [*faults.values()], items, last, size if groups else 0)


def _groups(sequences: list[int], frames: Frames, deadlines: Sequence[int]) -> list[Group]:
    """Split frames where the deadline changes; nearly always there is one group."""
    if not sequences:
        return []
    if len(deadlines) <= 1:
        return [Group(sequences, frames, deadlines[0] if deadlines else 0)]
    groups = []
    start = 0
    for deadline, run in groupby(deadlines):
        stop = start + len(list(run))
        groups.append(Group(sequences[start:stop], frames[start:stop], deadline))
        start = stop
    return groups


def _rise(sequences: list[int], after: int) -> bool:
    first = sequences[0]
    if first <= after:
        return False
    # Nearly always they are consecutive, and comparing lists is four times as fast as comparing pairs.
    counted = [*range(first, first + len(sequences))]
    return sequences == counted or all(map(lt, sequences, sequences[1:]))


def _mismatch(
    kind: str | None, size: int, sequences: int, deadlines: int
) -> tuple[str, str] | None:
    """Give the field and the error if the columns do not fit together."""
    if kind is None:
        return "tensors.frames", "tensors.frames: expected uint8 or float32, got neither"
    if not sequences:
        return "tensors.sequences", "tensors.sequences: expected a number for each frame, got none"
    wanted = sequences * PIXELS * (1 if kind == "uint8" else 4)
    if size != wanted:
        return f"tensors.{kind}", (
            f"tensors.{kind}: expected {wanted} bytes for {sequences} frames of 28x28, got {size}"
        )
    if deadlines not in (0, 1, sequences):
        return "tensors.deadlines_ms", (
            f"tensors.deadlines_ms: expected none, one, or one for each of {sequences} frames, "
            f"got {deadlines}"
        )
    return None


def _value_faults(
    frames: NDArray[np.float32], sequences: list[int]
) -> dict[int, error_pb2.ItemError]:
    """Find frames with a pixel that is NaN or outside 0..1."""
    low, high = frames.min(axis=1), frames.max(axis=1)
    bad = ~((low >= -_ROUNDING) & (high <= 1 + _ROUNDING))
    faults = {}
    for row in np.flatnonzero(bad).tolist():
        got = "NaN" if np.isnan(low[row]) else f"values from {low[row]:.6g} to {high[row]:.6g}"
        hint = "; divide bytes by 255 or send them as uint8" if high[row] > 1 else ""
        faults[row] = _invalid(
            sequences[row],
            "tensors.float32",
            f"tensors.float32: expected values from 0 to 1, got {got}{hint}",
        )
    return faults


def _order_faults(sequences: list[int], after: int) -> dict[int, error_pb2.ItemError]:
    """Find frames whose number does not exceed every number before it."""
    faults = {}
    for row, sequence in enumerate(sequences):
        if sequence <= after:
            faults[row] = _invalid(
                sequence,
                "tensors.sequences",
                f"tensors.sequences: numbers must rise within a stream, got {sequence} after "
                f"{after}: a duplicate, or out of order",
            )
        after = max(after, sequence)
    return faults


def _invalid(sequence: int, field: str, message: str) -> error_pb2.ItemError:
    return error_pb2.ItemError(
        sequence=sequence,
        code=error_pb2.ERROR_CODE_INVALID_ARGUMENT,
        field=field,
        message=message,
    )
