from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from inkstream_server.access.allowance import Quota
from inkstream_server.access.first_message import FirstMessages, Refusal
from inkstream_server.access.gate import CALLER, Gate
from inkstream_server.access.tokens import TokenFile, make
from inkstream_server.rpc.listener import add_methods

from tests.http2 import call, connected, message, read_until

UNARY, STREAM = "/test.Echo/Once", "/test.Echo/Often"


async def echo(_requests: object, context: Any) -> None:
    while (content := await context.read()) is not grpc.aio.EOF:
        caller = CALLER.get()
        await context.write(content + (caller.grant.name.encode() if caller else b""))


class Scene:
    def __init__(self, address: str, token: str, refused: Counter[Refusal]) -> None:
        self.address = address
        self.metadata = (("authorization", f"Bearer {token}"),)
        self.refused = refused


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    token, line = make("friend", Quota())
    (tmp_path / "tokens").write_text(line + "\n")
    refused: Counter[Refusal] = Counter()
    messages = FirstMessages(2, lambda reason: refused.update([reason]))
    gate = Gate(TokenFile(tmp_path / "tokens"), messages, {STREAM})
    server = grpc.aio.server(interceptors=[gate])
    handler: Any = grpc.stream_stream_rpc_method_handler(echo)
    add_methods(server, "test.Echo", {"Once": handler, "Often": handler})
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield Scene(address, token, refused)
    await server.stop(None)


@pytest.mark.parametrize("value", [None, "Bearer friend.wrong", "friend", "Basic abc"])
async def test_a_call_without_a_valid_token_is_refused_and_one_with_it_is_named(
    scene: Scene, value: str | None
) -> None:
    async with grpc.aio.insecure_channel(scene.address) as channel:
        once: Any = channel.unary_unary(UNARY)
        assert await once(b"I am ", metadata=scene.metadata) == b"I am friend"
        wrong = (("authorization", value),) if value else None
        refused = once(b"", metadata=wrong)
        assert await refused.code() is grpc.StatusCode.UNAUTHENTICATED
        often: Any = channel.stream_stream(STREAM)
        stream = often(metadata=wrong)
        with suppress(grpc.aio.AioRpcError):
            await stream.write(b"")
        assert await stream.code() is grpc.StatusCode.UNAUTHENTICATED
    assert scene.refused == {"token": 2}


def refuse_unfinished(address: str, path: str, calls: int) -> None:
    """Begin messages that never end, until the first call is refused: 16 is UNAUTHENTICATED."""
    with connected(address) as connection:
        for stream in range(1, 2 * calls, 2):
            connection.sendall(call(stream, path.encode()) + message(stream, b"", length=4_000_000))
        read_until(connection, b"grpc-status\x0216")


async def test_a_refused_unary_call_ends_before_its_message_has_come(scene: Scene) -> None:
    await asyncio.to_thread(refuse_unfinished, scene.address, UNARY, 1)
    assert scene.refused == {"token": 1}


async def test_refused_streams_are_read_a_few_at_a_time(scene: Scene) -> None:
    # Two are read, so that the third one ends the first at once, with the same status.
    await asyncio.to_thread(refuse_unfinished, scene.address, STREAM, 3)
    assert scene.refused["token"] >= 1
    assert {*scene.refused} == {"token"}
