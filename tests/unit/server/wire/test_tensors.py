from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inkstream.v1 import error_pb2, tensor_pb2
from inkstream_server.engines import Frames
from inkstream_server.wire import tensors
from inkstream_server.wire.tensors import Arrival, TooManyFrames

from tests.unit.server.builders import number_of, numbered

INVALID = error_pb2.ERROR_CODE_INVALID_ARGUMENT


def read(after: int = -1, max_frames: int = 1024, **columns: Any) -> Arrival:
    return tensors.read(tensor_pb2.Tensors(**columns), after=after, max_frames=max_frames)


def floats(*values: float) -> npt.NDArray[np.float32]:
    """One frame for each value: one pixel has it, the others 0.5."""
    frames = np.full((len(values), 784), 0.5, "<f4")
    frames[:, 300] = values
    return frames


def refused(arrival: Arrival) -> dict[int, str]:
    assert all(error.code == INVALID for error in arrival.errors)
    return {error.sequence: error.message for error in arrival.errors}


@settings(max_examples=300, deadline=None)
@given(
    sequences=st.lists(st.integers(0, 12) | st.integers(0, 2**64 - 1), min_size=0, max_size=10),
    pixels=st.lists(
        st.sampled_from([0.0, 1.0, 0.25, 1.5, -0.5, float("nan"), float("inf")]), max_size=10
    ),
    deadlines=st.lists(st.sampled_from([0, 5, 1000]), max_size=10),
    after=st.integers(-1, 5),
    excess=st.sampled_from([0, 0, 0, 0, 1]),
)
def test_every_frame_is_in_exactly_one_group_or_error(
    sequences: list[int], pixels: list[float], deadlines: list[int], after: int, excess: int
) -> None:
    frames = floats(*(pixels + [0.5] * len(sequences))[: len(sequences)])
    content = frames.tobytes() + bytes(excess)
    arrival = read(after, sequences=sequences, float32=content, deadlines_ms=deadlines)

    grouped = [number for group in arrival.groups for number in group.sequences]
    if sequences:
        assert arrival.items == len(sequences)
        assert sorted(grouped + [error.sequence for error in arrival.errors]) == sorted(sequences)
    else:
        assert len(arrival.errors) == arrival.items == 1
        assert arrival.errors[0].WhichOneof("item") is None
    assert grouped == sorted(set(grouped))
    assert all(number > after for number in grouped)
    assert arrival.last_sequence == max([after, *sequences])
    for group in arrival.groups:
        assert group.frames.shape == (len(group.sequences), 784)
        assert group.frames.flags.c_contiguous
        assert 0 <= group.frames.min() <= group.frames.max() <= 1
        wanted = {deadlines[sequences.index(number)] for number in group.sequences if deadlines[1:]}
        assert {group.deadline_ms} == (wanted or {*deadlines[:1]} or {0})
        rows: Frames = frames[[sequences.index(number) for number in group.sequences]]
        np.testing.assert_array_equal(group.frames, rows)
    fits = bool(sequences) and not excess and len(deadlines) in (0, 1, len(sequences))
    for number, pixel in zip(sequences, frames[:, 300].tolist(), strict=True):
        if fits and 0 <= pixel <= 1 and number > after and sequences.count(number) == 1:
            rises = all(before < number for before in sequences[: sequences.index(number)])
            assert (number in grouped) == rises


def test_bytes_reach_the_engine_as_a_view_of_the_message() -> None:
    content = numbered([7, 8, 9]).tobytes()
    # A stand-in, since protobuf gives a new bytes object at every access.
    message = SimpleNamespace(
        sequences=[1, 2, 3],
        uint8=content,
        float32=b"",
        deadlines_ms=[0, 50, 50],
        WhichOneof=lambda _: "uint8",
    )
    arrival = tensors.read(cast(tensor_pb2.Tensors, message), after=-1, max_frames=10)
    first, second = arrival.groups
    whole = np.frombuffer(content, np.uint8)
    assert np.shares_memory(first.frames, whole)
    assert np.shares_memory(second.frames, whole)
    assert (number_of(first.frames), number_of(second.frames)) == ([7], [8, 9])
    assert (first.deadline_ms, second.deadline_ms) == (0, 50)


@pytest.mark.parametrize(
    ("bad", "expected_text"),
    [
        (float("nan"), "NaN"),
        (float("inf"), "inf"),
        (float("-inf"), "-inf"),
        (255.0, "values from 0.5 to 255; divide bytes by 255 or send them as uint8"),
        (-0.01, "values from -0.01 to 0.5"),
    ],
)
def test_a_frame_of_impossible_pixels_is_refused_alone(bad: float, expected_text: str) -> None:
    arrival = read(sequences=[1, 2, 3], float32=floats(0, bad, 1).tobytes())
    (group,) = arrival.groups
    assert group.sequences == [1, 3]
    assert [*refused(arrival)] == [2]
    assert expected_text in refused(arrival)[2]
    assert arrival.errors[0].field == "tensors.float32"


def test_rounding_errors_of_floats_are_accepted() -> None:
    arrival = read(sequences=[1, 2], float32=floats(1 + 1e-7, -1e-7).tobytes())
    assert not arrival.errors


@pytest.mark.parametrize(
    ("after", "sequences", "good"),
    [
        (-1, [0, 1, 2], [0, 1, 2]),
        (4, [4, 5, 6], [5, 6]),
        (-1, [1, 1, 2], [1, 2]),
        (-1, [5, 3, 4, 6], [5, 6]),
        (9, [1, 2, 3], []),
        (-1, [2**64 - 1], [2**64 - 1]),
    ],
)
def test_a_number_that_does_not_rise_is_refused(
    after: int, sequences: list[int], good: list[int]
) -> None:
    arrival = read(after, sequences=sequences, uint8=numbered(sequences).tobytes())
    assert [number for group in arrival.groups for number in group.sequences] == good
    assert len(arrival.errors) == len(sequences) - len(good)
    assert all("rise" in error.message for error in arrival.errors)


def test_a_refused_number_stays_used() -> None:
    arrival = read(sequences=[8], float32=floats(float("nan")).tobytes())
    assert arrival.last_sequence == 8


@pytest.mark.parametrize(
    ("columns", "field", "expected_text"),
    [
        ({"sequences": [1, 2], "uint8": bytes(784)}, "uint8", "expected 1568 bytes .* got 784"),
        ({"sequences": [1], "float32": bytes(784)}, "float32", "expected 3136 bytes .* got 784"),
        ({"sequences": [1], "uint8": b""}, "uint8", "got 0"),
        ({"sequences": [1]}, "frames", "expected uint8 or float32, got neither"),
        (
            {"sequences": [1, 2, 3], "uint8": bytes(2352), "deadlines_ms": [1, 2]},
            "deadlines_ms",
            "one for each of 3 frames, got 2",
        ),
        ({"uint8": bytes(784)}, "sequences", "expected a number for each frame, got none"),
    ],
)
def test_columns_of_different_lengths_refuse_the_message_and_are_named(
    columns: dict[str, Any], field: str, expected_text: str
) -> None:
    arrival = read(**columns)
    assert not arrival.groups
    sequences: Sequence[int] = columns.get("sequences", [0])
    assert [error.sequence for error in arrival.errors] == [*sequences]
    for error in arrival.errors:
        assert error.field == f"tensors.{field}"
        with pytest.raises(AssertionError, match=expected_text):
            raise AssertionError(error.message)


def test_a_message_beyond_the_limit_gets_one_refusal_not_one_a_frame() -> None:
    with pytest.raises(TooManyFrames, match="may carry 4 frames, got 5; split it"):
        read(max_frames=4, sequences=range(5), uint8=b"")
    assert not read(max_frames=5, sequences=range(5), uint8=bytes(5 * 784)).errors


def test_one_deadline_applies_to_all_frames() -> None:
    arrival = read(sequences=[1, 2], uint8=bytes(1568), deadlines_ms=[30])
    assert [(group.sequences, group.deadline_ms) for group in arrival.groups] == [([1, 2], 30)]


def test_deadlines_stay_with_their_frames_when_a_neighbour_is_refused() -> None:
    arrival = read(
        sequences=[1, 2, 2, 3],
        uint8=numbered([1, 2, 0, 3]).tobytes(),
        deadlines_ms=[10, 20, 30, 40],
    )
    found = [
        (group.sequences, group.deadline_ms, number_of(group.frames)) for group in arrival.groups
    ]
    assert found == [([1], 10, [1]), ([2], 20, [2]), ([3], 40, [3])]


@given(
    deadlines=st.lists(st.integers(0, 3), min_size=1, max_size=300),
    duplicates=st.booleans(),
)
def test_parts_hold_every_frame_once_and_none_is_large(
    deadlines: list[int], duplicates: bool
) -> None:
    count = len(deadlines)
    sequences = [index // 2 for index in range(count)] if duplicates else [*range(count)]
    whole = read(sequences=sequences, uint8=bytes(784 * count), deadlines_ms=deadlines)
    parts = [*whole.parts()]
    assert [id(group) for part in parts for group in part.groups] == [*map(id, whole.groups)]
    assert [error for part in parts for error in part.errors] == whole.errors
    assert sum(part.items for part in parts) == whole.items
    for part in parts:
        assert len(part.groups) <= tensors.PART_GROUPS
        assert len(part.errors) <= tensors.PART_ERRORS
        assert part.items == len(part.errors) + sum(len(it.sequences) for it in part.groups)
