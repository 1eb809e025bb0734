"""Twenty clients, while their server is killed twenty times."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator

import pytest
from inkstream import AsyncClient

from tests.conftest import Mnist
from tests.integration.conftest import StartServer, start_server  # noqa: F401 - a fixture
from tests.integration.test_client_resume import free_port, writers_of
from tests.integration.writers import under_load

KILLS = 20
CLIENTS = 20


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

    writers = await writers_of(clients, mnist)
    await under_load(writers, kill())
    for client in clients:
        await client.close()
    images = sum(writer.answered for writer in writers)
    digits = sum(len(writer.finals) for writer in writers)
    slowest = max(max(writer.seconds) for writer in writers)
    sys.stdout.write(
        f"{KILLS} kills, {CLIENTS} clients: {images} images and {digits} digits answered once each, "
        f"the slowest after {slowest:.2f} s\n"
    )
