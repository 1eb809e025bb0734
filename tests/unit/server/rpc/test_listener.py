from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # not in the stubs
from inkstream._options.client import Options
from inkstream_server.config import Config
from inkstream_server.rpc import listener

from tests.patience import PATIENCE_SECONDS

GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"  # Nor settings of ours.
INTERVAL_MS = 5


def test_every_channel_argument_is_one_that_grpc_has() -> None:
    # gRPC ignores unknown arguments silently.
    known = Path(cygrpc.__file__).read_bytes()
    arguments: list[tuple[str, Any]] = [
        *listener.options(Config(), shares_port=True),
        *Options("localhost:1").channel_arguments("localhost:1"),
    ]
    assert [name for name, _ in arguments if name.encode() not in known] == []


async def test_a_client_that_keeps_an_idle_connection_alive_is_not_disconnected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "PING_INTERVAL_MS", INTERVAL_MS)
    server = grpc.aio.server(options=listener.options(Config(), shares_port=False))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(GREETING)
            for number in range(4 * listener.PING_STRIKES):
                body = number.to_bytes(8)
                writer.write(b"\0\0\x08\6\0\0\0\0\0" + body)
                await reader.readuntil(b"\0\0\x08\6\1\0\0\0\0" + body)
                await asyncio.sleep(
                    2 * INTERVAL_MS / 1000
                )  # The time that a client waits between two pings.
            writer.close()
    finally:
        await server.stop(0)
