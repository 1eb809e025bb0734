from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from inkstream.v1 import recognition_service_pb2 as pb
from inkstream.v1 import tensor_pb2
from inkstream.v1.recognition_service_pb2_grpc import RecognitionServiceStub
from inkstream_server.access.allowance import Quota
from inkstream_server.access.tokens import make

from tests.integration.conftest import StartServer
from tests.integration.contract import Stream, open_stream, stub
from tests.integration.steady import BLANK, Steady
from tests.patience import eventually

FRAMES = 1024
"""Frames of one message. With all probabilities their answer takes a quarter of a megabyte, far more than
the window of 64 KB of a caller that does not read."""

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED.name


@asynccontextmanager
async def narrow_stub(address: str) -> AsyncIterator[Any]:
    """A stub whose connection buffers at most 64 KB of unread answers."""
    options = [("grpc.http2.bdp_probe", 0), ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        yield RecognitionServiceStub(channel)


async def test_a_caller_that_reads_no_answers_is_ended_with_a_reason_and_its_neighbour_continues(
    start_server: StartServer,
) -> None:
    server = start_server("--stall-timeout", "1")
    async with narrow_stub(server.address) as service, stub(server.address) as another:
        neighbour = Steady(await open_stream(another))
        deaf = await open_stream(service, probabilities=True, top_k=10)
        for first in (0, FRAMES):
            await deaf.send(sequences=range(first, first + FRAMES), uint8=BLANK * FRAMES)
        await eventually(
            "the end of the stalled stream",
            lambda: server.metrics().value("inkstream_streams") == 1,
        )
        await neighbour.flows()
        # Reading late gives the answers in order, then the reason.
        with pytest.raises(grpc.aio.AioRpcError, match="has read no answer for") as ended:
            await deaf.receive_all()
        assert ended.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert deaf.answers.order == [*range(len(deaf.answers.order))]
        assert len(deaf.answers.order) < 2 * FRAMES
        neighbour.stop()
        await neighbour.ended()
        assert neighbour.stream.answers.order == [*range(neighbour.sent)]
    handled = {"grpc_method": "StreamRecognize", "grpc_code": "RESOURCE_EXHAUSTED"}
    assert server.metrics().total("grpc_server_handled_total", **handled) == 1
    assert server.stderr().count("event=stream_stalled") == 1


async def test_a_caller_that_reads_no_answers_counts_towards_the_limits_until_it_does(
    start_server: StartServer,
) -> None:
    # gRPC buffers unread answers. If the stream did not count, a caller could have any number of them.
    server = start_server("--stall-timeout", "0.2", "--max-streams", "1")
    async with narrow_stub(server.address) as service, stub(server.address) as another:
        deaf = await open_stream(service, probabilities=True, top_k=10)
        await deaf.send(sequences=range(FRAMES), uint8=BLANK * FRAMES)
        await eventually("its end", lambda: server.metrics().value("inkstream_streams") == 0)
        with pytest.raises(grpc.aio.AioRpcError, match="the server has 1 open, its limit"):
            await open_stream(another)
        with pytest.raises(grpc.aio.AioRpcError, match="has read no answer for"):
            await deaf.receive_all()
        await eventually(
            "the stream no longer counts",
            lambda: server.metrics().total("grpc_server_handled_total", grpc_code=EXHAUSTED) == 2,
        )
        await (await open_stream(another)).finish()


async def test_a_caller_that_reads_its_answers_late_finds_the_reason_at_the_end(
    start_server: StartServer, tmp_path: Path
) -> None:
    token, line = make("deaf", Quota())
    tokens = tmp_path / "tokens"
    tokens.write_text(line)
    server = start_server("--tokens", str(tokens))
    async with narrow_stub(server.address) as service:
        options = tensor_pb2.AnswerOptions(probabilities=True, top_k=10)
        deaf = Stream(service.StreamRecognize(metadata=(("authorization", f"Bearer {token}"),)))
        await deaf.call.write(pb.StreamRecognizeRequest(config=pb.StreamConfig(answers=options)))
        await deaf.receive()
        await deaf.send(sequences=range(FRAMES), uint8=BLANK * FRAMES)
        await deaf.call.done_writing()
        tokens.write_text(make("another", Quota())[1])
        await eventually("its end", lambda: server.metrics().value("inkstream_streams") == 0)
        with pytest.raises(grpc.aio.AioRpcError, match="the token was revoked") as ended:
            await deaf.receive_all()
    assert ended.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert deaf.answers.order == [*range(len(deaf.answers.order))]
