"""Clients lose no answer when servers are killed, drained and restarted."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator

import numpy as np
import pytest
from inkstream import (
    AsyncClient,
    Client,
    ConnectionEvent,
    ConnectionState,
    DeadlineExceeded,
    RetryPolicy,
)

from tests.conftest import Mnist
from tests.integration.conftest import RunningServer, StartServer
from tests.integration.names import names
from tests.integration.writers import SEVEN, Writer, under_load

LONG_MS = 60_000
"""A quiet time longer than any test."""


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


async def writers_of(clients: list[AsyncClient], mnist: Mnist) -> list[Writer]:
    images = mnist[0][:64]
    digits = [result.digit async for result in clients[0].stream(images)]
    return [Writer(client, images, digits) for client in clients]


async def test_killed_servers_lose_no_answer_and_repeat_none(
    start_server: StartServer, mnist: Mnist
) -> None:
    port = free_port()
    server = start_server("--port", port)
    addresses = [server.address, f"dns:///localhost:{port}"]
    clients = [AsyncClient(address) for address in addresses * 2]

    async def kill() -> AsyncIterator[RunningServer]:
        nonlocal server
        yield server
        for _ in range(3):
            server.signal(signal.SIGKILL)
            await asyncio.to_thread(server.wait)
            server = await asyncio.to_thread(start_server, "--port", port)
            yield server

    await under_load(await writers_of(clients, mnist), kill())
    for client in clients:
        await client.close()


@pytest.mark.parametrize(
    "form",
    [
        "list",
        pytest.param("commas", marks=pytest.mark.slow),
        pytest.param("ipv4", marks=pytest.mark.slow),
    ],
)
async def test_a_rolling_restart_of_two_servers_loses_no_answer(
    start_server: StartServer, mnist: Mnist, form: str
) -> None:
    ports = [free_port(), free_port()]
    servers = [start_server("--port", port) for port in ports]
    addresses = [server.address for server in servers]
    joined = ",".join(addresses)
    address = {"list": addresses, "commas": joined, "ipv4": f"ipv4:{joined}"}[form]
    events: list[ConnectionEvent] = []
    client = AsyncClient(address, on_state=events.append)

    async def restart() -> AsyncIterator[RunningServer]:
        yield servers[0]
        for place, port in enumerate(ports):
            servers[place].signal(signal.SIGTERM)
            assert await asyncio.to_thread(servers[place].wait) == 0
            servers[place] = await asyncio.to_thread(start_server, "--port", port)
            yield servers[place]

    await under_load(await writers_of([client], mnist), restart())
    await client.close()
    states = [event.state for event in events]
    assert states.count(ConnectionState.DRAINING) >= 1
    assert states[-1] is ConnectionState.CLOSED


async def test_a_client_follows_a_name_to_its_current_servers(
    start_server: StartServer, mnist: Mnist
) -> None:
    port = free_port()
    servers = {
        host: start_server("--port", port, "--host", host)
        for host in ("127.0.0.2", "127.0.0.3", "127.0.0.4")
    }
    image = mnist[0][0]
    async with (
        names("127.0.0.2", "127.0.0.3") as serving,
        AsyncClient(f"dns://127.0.0.1:{serving.port}/ink.test:{port}") as client,
    ):
        assert (await client.recognize(image)).digit == 7
        busy, other = serving.addresses
        if servers[other].metrics().value("inkstream_streams"):
            busy, other = other, busy
        servers[busy].signal(signal.SIGKILL)
        assert (await client.recognize(image)).digit == 7
        assert servers[other].metrics().value("inkstream_streams") == 1
        # All old addresses of the name are gone; gRPC alone would resolve it again only after 30 s.
        serving.addresses = ["127.0.0.4"]
        servers[other].signal(signal.SIGKILL)
        assert (await client.recognize(image, deadline=25)).digit == 7
        assert servers["127.0.0.4"].metrics().value("inkstream_streams") == 1


def test_a_digit_begun_before_a_kill_is_finished_after_it(start_server: StartServer) -> None:
    first = start_server()
    port = first.address.rpartition(":")[2]
    with (
        Client(first.address) as client,
        client.pen(quiet_ms=LONG_MS, short_quiet_ms=LONG_MS) as pen,
    ):
        pen.stroke(SEVEN)
        results = iter(pen)
        before = next(results)
        pen.down(14, 24)
        first.signal(signal.SIGKILL)
        first.wait()
        pen.move(30, 25)
        pen.up()
        start_server("--port", port)
        pen.end_glyph()
        after = list(results)
    assert [result.strokes for result in (before, *after)] == [(1,), (1, 2), (1, 2)]
    assert [result.glyph for result in (before, *after)] == [1, 1, 1]
    assert [result.revision for result in (before, *after)] == [1, 2, 3]
    assert [result.digit for result in (before, *after)] == [7, 7, 7]


def test_a_drained_server_leaves_an_open_digit_to_the_next(
    start_server: StartServer,
) -> None:
    servers = [start_server(), start_server()]
    with (
        Client([server.address for server in servers]) as client,
        client.pen(quiet_ms=LONG_MS, short_quiet_ms=LONG_MS) as pen,
    ):
        pen.stroke(SEVEN)
        results = iter(pen)
        assert next(results).strokes == (1,)
        (busy,) = [server for server in servers if server.metrics().value("inkstream_streams")]
        busy.signal()
        assert busy.wait() == 0
        pen.stroke([(14, 24), (30, 25)])
        pen.end_glyph()
        assert [result.strokes for result in results] == [(1, 2), (1, 2)]


def test_deadlines_run_on_while_the_server_is_away(start_server: StartServer, mnist: Mnist) -> None:
    server = start_server()
    with Client(server.address) as client:
        client.recognize(mnist[0][0])
        server.signal(signal.SIGKILL)
        server.wait()
        patient = client.submit(mnist[0][0])
        hurried = client.submit(mnist[0][0], deadline=0.2)
        assert isinstance(hurried.exception(30), DeadlineExceeded)
        assert not patient.done()
        port = server.address.rpartition(":")[2]
        successor = start_server("--port", port)
        assert patient.result(30).digit == 7
        assert successor.metrics().value("inkstream_items_total", kind="tensor", outcome="ok") == 1


def test_a_client_may_start_before_its_server(start_server: StartServer) -> None:
    port = free_port()
    patient = RetryPolicy(first_attempts=1_000_000, longest_delay=0.2)
    with Client(f"127.0.0.1:{port}", retry=patient) as client:
        waiting = client.submit(np.zeros((28, 28), np.uint8))
        start_server("--port", port)
        assert waiting.result(30).rejected
