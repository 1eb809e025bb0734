from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from inkstream_server.access.first_message import FirstMessages, Refusal
from inkstream_server.rpc import health
from inkstream_server.rpc.health import CHECKS, WATCHES, Health
from inkstream_server.rpc.listener import add_methods

from tests.http2 import CHECK, WATCH, call, connected, message
from tests.patience import PATIENCE_SECONDS, eventually

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


class Scene:
    def __init__(self, health: Health, refused: Counter[Refusal], address: str) -> None:
        self.health = health
        self.refused = refused
        self.address = address

    def channel(self) -> grpc.aio.Channel:
        """Open a connection of its own."""
        return grpc.aio.insecure_channel(self.address, [("grpc.use_local_subchannel_pool", 1)])


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    refused: Counter[Refusal] = Counter()
    service = Health(["", "digits"], FirstMessages(4, lambda reason: refused.update([reason])))
    server = grpc.aio.server()
    add_methods(server, "grpc.health.v1.Health", service.handlers)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield Scene(service, refused, address)
    await server.stop(None)


@asynccontextmanager
async def watching(stub: Any, name: str = "") -> AsyncIterator[Any]:
    """A watch that has its first answer, or its status."""
    watch = stub.Watch(HealthCheckRequest(service=name))
    yield watch
    watch.cancel()


async def test_names_are_answered_by_their_status(scene: Scene) -> None:
    async with scene.channel() as channel:
        stub: Any = HealthStub(channel)
        assert (await stub.Check(HealthCheckRequest())).status == NOT_SERVING
        scene.health.set(is_serving=True)
        assert (await stub.Check(HealthCheckRequest(service="digits"))).status == SERVING
        for name in ("unknown", "x" * 4_000_000):
            with pytest.raises(grpc.aio.AioRpcError) as unknown:
                await stub.Check(HealthCheckRequest(service=name))
            assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_watch_gives_each_change_until_it_is_too_old(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene.channel() as channel, watching(HealthStub(channel)) as watch:
        assert (await watch.read()).status == NOT_SERVING
        scene.health.set(is_serving=True)
        assert (await watch.read()).status == SERVING
        monkeypatch.setattr(health, "WATCH_SECONDS", 0.05)
        async with watching(HealthStub(channel), "unknown") as old:
            assert (await old.read()).status == HealthCheckResponse.SERVICE_UNKNOWN
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                await old.read()
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_connection_gets_few_watches_and_others_get_theirs(scene: Scene) -> None:
    async with scene.channel() as channel, scene.channel() as another:
        stub: Any = HealthStub(channel)
        watches = [stub.Watch(HealthCheckRequest()) for _ in range(WATCHES)]
        for watch in watches:
            assert (await watch.read()).status == NOT_SERVING
        assert await stub.Watch(HealthCheckRequest()).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await stub.Check(HealthCheckRequest())).status == NOT_SERVING
        async with watching(HealthStub(another)) as other:
            assert (await other.read()).status == NOT_SERVING
        watches[0].cancel()
        await eventually("room", lambda: sum(scene.health.watches.values()) == WATCHES - 1)
        async with watching(stub) as next_one:
            assert (await next_one.read()).status == NOT_SERVING
    assert scene.refused == {"calls": 1}


async def test_all_connections_together_get_a_limited_number_of_watches(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "MOST_WATCHES", 1)
    async with (
        scene.channel() as channel,
        scene.channel() as another,
        watching(HealthStub(channel)) as watch,
    ):
        await watch.read()
        refused: Any = HealthStub(another)
        code = await refused.Watch(HealthCheckRequest()).code()
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_checks_that_never_finish_end_in_time_and_hold_up_no_other(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "HEALTH_SECONDS", 0.05)

    def attack(connection: socket.socket) -> None:
        for at in range(1, 2 * CHECKS + 3, 2):
            connection.sendall(call(at, CHECK) + message(at, b"", length=4_000_000))

    with connected(scene.address) as connection:
        await asyncio.to_thread(attack, connection)
        async with scene.channel() as channel, asyncio.timeout(PATIENCE_SECONDS):
            stub: Any = HealthStub(channel)
            while scene.refused.total() < CHECKS + 1:
                assert (await stub.Check(HealthCheckRequest())).status == NOT_SERVING
        await eventually("over", lambda: not scene.health.checks)
    assert scene.refused.total() == CHECKS + 1, "each is refused once, and no other"


async def test_a_watcher_that_reads_nothing_does_not_hold_up_a_change(scene: Scene) -> None:
    def stall() -> None:
        connection = stack.enter_context(connected(scene.address, window=0))
        connection.sendall(call(1, WATCH) + message(1, b""))

    with ExitStack() as stack:
        await asyncio.to_thread(stall)
        await eventually("it watches", lambda: sum(scene.health.watches.values()) == 1)
        scene.health.set(is_serving=True)
        async with scene.channel() as channel, watching(HealthStub(channel)) as watch:
            assert (await watch.read()).status == SERVING
