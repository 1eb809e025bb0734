"""Each limit of docs/security.md that a connection or a message can exceed, on a real server."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic

import grpc
import pytest
from inkstream.v1 import error_pb2, ink_pb2
from inkstream.v1 import recognition_service_pb2 as pb

from tests.integration.conftest import StartServer
from tests.integration.contract import Stream, open_stream, stub
from tests.integration.steady import BLANK
from tests.patience import PATIENCE_SECONDS
from tests.unit.server.pens.events import BAR, opened, stroke

CONFIG = pb.StreamRecognizeRequest(config=pb.StreamConfig())


async def test_a_message_that_is_too_long_ends_its_stream_and_no_other(
    start_server: StartServer,
) -> None:
    server = start_server("--max-message-bytes", "8192")
    async with stub(server.address) as service:
        neighbour, stream = await open_stream(service), await open_stream(service)
        await stream.send(sequences=range(10), uint8=BLANK * 10)
        await stream.receive_until(10)
        await stream.send(sequences=range(10, 21), uint8=BLANK * 11)
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await stream.receive_all()
        await neighbour.send(sequences=[1], uint8=BLANK)
        assert (await neighbour.finish()).order == [1]
    assert ended.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_headers_that_are_too_long_are_refused_and_shorter_ones_accepted(
    start_server: StartServer,
) -> None:
    server = start_server("--max-header-bytes", "1024")
    async with stub(server.address) as service:
        codes = []
        for length in (256, 2048, 256):
            call = service.StreamRecognize(metadata=(("x-tenant", "a" * length),))
            stream = Stream(call)
            # The server may end the stream before the write: reading shows the status.
            with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                await call.write(CONFIG)
                await stream.finish()
            codes.append(await stream.code())
    assert codes == [grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.OK]


async def reaches(address: str) -> bool:
    """Return whether the server accepts another connection."""
    async with stub(address) as service:
        try:
            await service.GetModel(pb.GetModelRequest())
        except grpc.aio.AioRpcError as refused:
            assert refused.code() is grpc.StatusCode.UNAVAILABLE
            return False
    return True


async def test_connections_beyond_the_limit_are_closed_until_another_one_ends(
    start_server: StartServer,
) -> None:
    server = start_server("--max-connections", "2")
    async with stub(server.address) as service:
        stays = await open_stream(service)
        await _fill_up_and_go(server.address, stays)
        give_up = monotonic() + PATIENCE_SECONDS
        while not await reaches(server.address):  # The server may not yet have seen the close.
            assert monotonic() < give_up, "no room although a connection was closed"


async def _fill_up_and_go(address: str, stays: Stream) -> None:
    """Take the last connection. A function, because any reference to a call keeps its connection open."""
    async with stub(address) as service:
        goes = await open_stream(service)
        assert not await reaches(address)
        for stream in (stays, goes):
            await stream.send(sequences=[1], uint8=BLANK)
            assert (await stream.receive_until(1)).order == [1]
        await goes.finish()


async def test_calls_beyond_the_limit_of_a_connection_wait_for_others_to_end(
    start_server: StartServer,
) -> None:
    server = start_server("--max-streams-per-connection", "1")
    async with stub(server.address) as service:
        first = await open_stream(service)
        second = asyncio.create_task(open_stream(service))
        async with stub(server.address) as another:
            await (await open_stream(another)).finish()
        await first.send(sequences=[1], uint8=BLANK)
        await first.receive_until(1)
        assert not second.done()
        assert server.metrics().value("inkstream_streams") == 1
        await first.finish()
        await (await second).finish()


@pytest.mark.parametrize(
    ("flags", "field"),
    [
        (("--max-pens", "1"), "open"),
        (("--max-points", str(len(BAR))), "points"),
    ],
)
async def test_ink_beyond_the_limit_of_a_stream_is_refused_with_a_retry_after(
    start_server: StartServer, flags: tuple[str, str], field: str
) -> None:
    server = start_server(*flags)
    async with stub(server.address) as service:
        stream = await open_stream(service)
        events = [opened(1), *stroke(1, BAR, 1)]
        events += [opened(2)] if field == "open" else stroke(2, BAR, 1)
        await stream.call.write(pb.StreamRecognizeRequest(ink=ink_pb2.InkEvents(events=events)))
        answers = await stream.finish()
    (error,) = [error for response in answers.responses for error in response.errors]
    assert error.code == error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED
    assert error.field.startswith(field)
    assert error.retry_after_ms > 0
    finals = [
        glyph
        for response in answers.responses
        for glyph in response.glyphs
        if glyph.state == ink_pb2.GLYPH_STATE_FINAL
    ]
    assert [glyph.pen for glyph in finals] == [1], "the ink that had room is answered"
