"""Twenty clients, while their server is killed, drained and stopped."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator

import pytest
from inkstream import AsyncClient

from tests.conftest import Mnist
from tests.integration.conftest import StartServer, start_server  # noqa: F401 - a fixture
from tests.integration.test_client_resume import LONG_MS, free_port, writers_of
from tests.integration.writers import under_load

KILLS = 20
CLIENTS = 20
FAULTS = random.Random(12).sample(["kill", "drain", "stop"], counts=[10, 5, 2], k=17)
"""Ten kills (-9), five drains (SIGTERM) and two stops (SIGSTOP), in an order that stays the same."""
STOP_SECONDS = 2.0
"""How long a stop lasts."""


@pytest.mark.timeout(600)
async def test_a_server_killed_twenty_times_loses_no_answer_of_twenty_clients(
    start_server: StartServer,  # noqa: F811 - the fixture
    mnist: Mnist,
) -> None:
    port = free_port()
    server = start_server("--port", port)
    clients = [AsyncClient(server.address) for _ in range(CLIENTS)]

    async def kill() -> AsyncIterator[int]:
        nonlocal server
        yield 0
        for kills in range(1, KILLS + 1):
            server.signal(signal.SIGKILL)
            await asyncio.to_thread(server.wait)
            server = await asyncio.to_thread(start_server, "--port", port)
            yield kills

    await _hold(clients, mnist, kill(), f"{KILLS} kills")


@pytest.mark.timeout(600)
async def test_kills_drains_and_stops_lose_no_answer_and_repeat_none(
    start_server: StartServer,  # noqa: F811 - the fixture
    mnist: Mnist,
) -> None:
    port = free_port()
    server = start_server("--port", port)
    clients = [AsyncClient(server.address) for _ in range(CLIENTS)]

    async def disturb() -> AsyncIterator[str]:
        nonlocal server
        yield "nothing"
        for fault in FAULTS:
            if fault == "stop":
                server.signal(signal.SIGSTOP)
                await asyncio.sleep(STOP_SECONDS)
                server.signal(signal.SIGCONT)
            else:
                server.signal(signal.SIGKILL if fault == "kill" else signal.SIGTERM)
                code = await asyncio.to_thread(server.wait)
                assert fault == "kill" or code == 0, "a drain failed"
                server = await asyncio.to_thread(start_server, "--port", port)
            yield fault

    await _hold(clients, mnist, disturb(), "10 kills, 5 drains, 2 stops")


async def _hold(
    clients: list[AsyncClient], mnist: Mnist, disturb: AsyncIterator[object], what: str
) -> None:
    """Keep clients under load while something disturbs them, check every answer, and print the account."""
    writers = await writers_of(clients, mnist)
    for writer in writers:
        writer.quiet_ms = LONG_MS
    await under_load(writers, disturb)
    for client in clients:
        await client.close()
    images = sum(writer.answered for writer in writers)
    digits = sum(len(writer.finals) for writer in writers)
    slowest = max(max(writer.seconds) for writer in writers)
    sys.stdout.write(
        f"{what}, {CLIENTS} clients: {images} images and {digits} digits answered once each, "
        f"the slowest after {slowest:.2f} s\n"
    )
