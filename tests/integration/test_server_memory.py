"""Streams that would take more memory than there is, and messages that are none."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import grpc
import pytest
from inkstream.v1 import recognition_service_pb2 as pb
from inkstream.v1 import tensor_pb2

from tests.integration.conftest import RunningServer, StartServer
from tests.integration.contract import open_stream, stub
from tests.patience import PATIENCE_SECONDS, eventually

METHOD = "/inkstream.v1.RecognitionService/StreamRecognize"
CONFIG = pb.StreamRecognizeRequest(config=pb.StreamConfig()).SerializeToString()
SECRET = b"\xff\xffprivate ink"


async def never_reads(service: Any) -> None:
    """Send images, ask for long answers, and read none, until the server ends the call."""
    everything = tensor_pb2.AnswerOptions(top_k=10, probabilities=True)
    call = service.StreamRecognize()
    await call.write(pb.StreamRecognizeRequest(config=pb.StreamConfig(answers=everything)))
    # What gRPC's client says here depends on what it was doing.
    with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        for first in range(0, 50 * 1024, 1024):
            images = tensor_pb2.Tensors(
                sequences=range(first, first + 1024), float32=bytes(3136 * 1024)
            )
            await call.write(pb.StreamRecognizeRequest(tensors=images))


async def test_the_largest_streams_end_when_memory_is_short_and_others_go_on(
    start_server: StartServer,
) -> None:
    server = start_server("--max-memory", str(200 * 2**20), "--stall-timeout", "1000")
    async with stub(server.address) as service, stub(server.address) as other:
        stream = await open_stream(other)
        attack = [asyncio.create_task(never_reads(service)) for _ in range(40)]
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.wait(attack, return_when=asyncio.FIRST_COMPLETED)
        await stream.send(sequences=[1], uint8=bytes(784))
        await stream.receive_until(1)
        assert 1 in stream.answers.digits
        for task in attack:
            task.cancel()
        await asyncio.gather(*attack, return_exceptions=True)
    assert "event=memory_short" in server.stderr()
    assert server.metrics().value("inkstream_memory_ended_total") >= 1
    await eventually(
        "nothing held", lambda: server.metrics().total("inkstream_memory_held_bytes") == 0
    )


@pytest.mark.parametrize("before", [[], [CONFIG]], ids=["first", "later"])
async def test_a_message_that_is_none_ends_its_stream_with_a_sentence(
    before: list[bytes], server: RunningServer
) -> None:
    async with grpc.aio.insecure_channel(server.address) as channel:
        call: Any = channel.stream_stream(METHOD)()
        for message in (*before, SECRET):
            await call.write(message)
        async with asyncio.timeout(PATIENCE_SECONDS):
            with suppress(grpc.aio.AioRpcError):
                while await call.read() is not grpc.aio.EOF:
                    pass
            assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
        sentence = await call.details()
    assert sentence == "request: expected a StreamRecognizeRequest, but protobuf cannot read it"
    assert "private" not in server.stderr()
    assert "Traceback" not in server.stderr()
