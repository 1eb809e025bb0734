from __future__ import annotations

from inkstream.v1 import error_pb2, tensor_pb2
from inkstream_server.access.allowance import Allowance, Quota
from inkstream_server.streams.tensor_reply import ration
from inkstream_server.wire import tensors
from inkstream_server.wire.tensors import Arrival

from tests.unit.server.builders import number_of, numbered


def arrival(*numbers: int, deadlines_ms: tuple[int, ...] = ()) -> Arrival:
    message = tensor_pb2.Tensors(
        sequences=numbers, uint8=numbered(numbers).tobytes(), deadlines_ms=deadlines_ms
    )
    return tensors.read(message, after=-1, max_frames=64)


def test_the_first_frames_stay_and_the_rest_is_told_when_to_come_again() -> None:
    arrived = arrival(1, 2, 3, 4, 5)
    refused = ration(arrived, Allowance(Quota(items_per_second=2), lambda: 0.0))
    (group,) = arrived.groups
    assert [*group.sequences] == number_of(group.frames) == [1, 2]
    assert [error.sequence for error in refused] == [3, 4, 5]
    for error in refused:
        assert error.code == error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED
        assert error.retry_after_ms == 1000
        assert "limit of 2 items a second" in error.message


def test_a_group_without_a_frame_left_is_gone() -> None:
    arrived = arrival(1, 2, 3, deadlines_ms=(10, 20, 20))
    refused = ration(arrived, Allowance(Quota(items_per_second=1), lambda: 0.0))
    assert [[*group.sequences] for group in arrived.groups] == [[1]]
    assert [error.sequence for error in refused] == [2, 3]


def test_within_the_limit_nothing_is_touched() -> None:
    arrived = arrival(1, 2)
    frames = arrived.groups[0].frames
    assert ration(arrived, Allowance(Quota())) == []
    assert arrived.groups[0].frames is frames
