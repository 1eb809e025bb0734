from __future__ import annotations

from time import perf_counter

import pytest
from inkstream.v1 import error_pb2, tensor_pb2
from inkstream.v1.recognition_service_pb2 import StreamRecognizeResponse
from inkstream_server.access.allowance import Allowance, Quota
from inkstream_server.batching.blocks import Block
from inkstream_server.batching.fair_queue import Flow
from inkstream_server.streams.tensor_reply import TensorReply, ration, reply_to
from inkstream_server.wire import tensors
from inkstream_server.wire.response import Response
from inkstream_server.wire.tensors import Arrival

from tests.unit.server.builders import NumberEngine, Workshop, number_of, numbered


def arrival(*numbers: int, deadlines_ms: tuple[int, ...] = ()) -> Arrival:
    message = tensor_pb2.Tensors(
        sequences=numbers, uint8=numbered(numbers).tobytes(), deadlines_ms=deadlines_ms
    )
    return tensors.read(message, after=-1, max_frames=64)


def test_frames_beyond_the_rate_are_refused_with_a_retry_after() -> None:
    arrived = arrival(1, 2, 3, 4, 5)
    refused = ration(arrived, Allowance(Quota(items_per_second=2), lambda: 0.0))
    (group,) = arrived.groups
    assert [*group.sequences] == number_of(group.frames) == [1, 2]
    assert [error.sequence for error in refused] == [3, 4, 5]
    for error in refused:
        assert error.code == error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED
        assert error.retry_after_ms == 1000
        assert "limit of 2 items a second" in error.message


def test_a_group_whose_frames_are_all_refused_is_removed() -> None:
    arrived = arrival(1, 2, 3, deadlines_ms=(10, 20, 20))
    refused = ration(arrived, Allowance(Quota(items_per_second=1), lambda: 0.0))
    assert [[*group.sequences] for group in arrived.groups] == [[1]]
    assert [error.sequence for error in refused] == [2, 3]


def test_a_message_within_the_limit_is_unchanged() -> None:
    arrived = arrival(1, 2)
    frames = arrived.groups[0].frames
    assert ration(arrived, Allowance(Quota())) == []
    assert arrived.groups[0].frames is frames


class Stream:
    """Messages of one stream, and the replies to them."""

    def __init__(self, engine: NumberEngine | None = None) -> None:
        self.workshop = Workshop(engine)
        self._flow = Flow[Block]()

    def reply(
        self, *numbers: int, last: TensorReply | None = None, at_once: bool = False
    ) -> TensorReply:
        return reply_to(
            arrival(*numbers),
            perf_counter(),
            self.workshop.batcher,
            self.workshop.metrics,
            None,
            self._flow,
            last=last,
            at_once=at_once,
        )

    async def written(self, reply: TensorReply) -> StreamRecognizeResponse:
        await reply.ready()
        assert reply.is_complete()
        response = Response()
        reply.append(response)
        return StreamRecognizeResponse.FromString(response.to_bytes())


@pytest.mark.parametrize("way", ["queued", "at once", "joined"])
async def test_an_answer_is_written_and_counted_the_same_at_once_and_after_the_queue(
    way: str,
) -> None:
    stream = Stream()
    if way == "joined":
        reply = stream.reply(1, 2)
        assert stream.reply(3, last=reply) is reply
    else:
        reply = stream.reply(1, 2, 3, at_once=way == "at once")
        assert reply.is_complete() == (way == "at once")
    (group,) = (await stream.written(reply)).tensors
    assert ([*group.sequences], [*group.digits]) == ([1, 2, 3], [1, 2, 3])
    value = stream.workshop.value
    assert stream.workshop.ended("ok") == 3
    assert value("inkstream_item_latency_seconds_count", kind="tensor") == 3
    assert value("inkstream_queue_seconds_count") == 3


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_failed_batch_is_an_error_of_each_item_and_counted_the_same_way(
    at_once: bool,
) -> None:
    engine = NumberEngine()
    engine.failures = {0: "raise"}
    stream = Stream(engine)
    errors = (await stream.written(stream.reply(1, 2, at_once=at_once))).errors
    assert [(it.sequence, it.code) for it in errors] == [
        (1, error_pb2.ERROR_CODE_INTERNAL),
        (2, error_pb2.ERROR_CODE_INTERNAL),
    ]
    assert (stream.workshop.ended("failed"), stream.workshop.ended("ok")) == (2, 0)


async def test_a_withdrawn_reply_counts_all_that_it_covers_as_cancelled() -> None:
    stream = Stream()
    reply = stream.reply(1, 2)
    stream.reply(3, last=reply)
    reply.withdraw()
    await stream.workshop.dispatcher.close()
    assert stream.workshop.engine.batches == []
    assert stream.workshop.ended("cancelled") == 3
