"""Items while the server's machine fails."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from inkstream import AsyncClient, ConnectionFailed, GlyphState
from inkstream_server.model_store.store import BUNDLED

from tests.integration.conftest import RunningServer, StartServer, running_server
from tests.integration.contract import open_stream, stub
from tests.integration.writers import SEVEN
from tests.system.faults.traffic import Images, traffic
from tests.system.promises import Promises

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
SERVER = (sys.executable, "-m", "inkstream_server")


@contextmanager
def server_under(
    shell: str, folder: Path, *flags: str, environment: Mapping[str, str] = os.environ
) -> Iterator[RunningServer]:
    """Start a server by a line of shell in which "$@" is its command."""
    program = ("sh", "-c", shell, "sh", *SERVER)
    with running_server(folder, *flags, program=program, environment=environment) as running:
        yield running


async def test_a_model_whose_files_vanish_goes_on_answering(
    start_server: StartServer, tmp_path: Path, images: Images, promises: Promises
) -> None:
    store = tmp_path / "store"
    shutil.copytree(BUNDLED, store)
    server = start_server("--model-store", str(store))
    async with traffic(server.address, images) as callers:
        await callers.more(100)
        shutil.rmtree(store)
        await callers.more(1000)
    assert callers.outcomes.right == callers.outcomes.items
    promises.kept(
        "model files vanish", "the model that is loaded goes on answering", callers.outcomes
    )


async def test_a_clock_that_jumps_changes_no_answer_and_no_deadline(
    tmp_path: Path, images: Images, promises: Promises
) -> None:
    if FAKETIME is None:
        pytest.skip("libfaketime is not installed: as root, `make test-system` installs it")
    clock = tmp_path / "clock"
    clock.write_text("+0")
    environment = {
        **os.environ,
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with server_under('exec "$@"', tmp_path, environment=environment) as server:
        async with traffic(server.address, images) as callers:
            for jump in ("+1h", "-1h", "+400d", "+0"):
                await callers.more(200)
                clock.write_text(jump)
            await callers.more(200)
        async with AsyncClient(server.address) as client:
            clock.write_text("+1d")
            assert [await client.recognize(images[0], deadline=20.0)]
            async with client.pen() as pen:
                pen.stroke(SEVEN)
                async for result in pen:
                    if result.state is GlyphState.PROVISIONAL:
                        clock.write_text("-1d")  # By the wall clock the quiet time would never end.
                assert result.is_final
                assert result.digit == 7
    assert callers.outcomes.right == callers.outcomes.items
    promises.kept(
        "wall clock jumps by an hour and by a year, both ways",
        "deadlines and quiet times run on; every item is answered once and right",
        callers.outcomes,
    )


async def test_a_full_disk_under_the_log_loses_no_items(
    tmp_path: Path, images: Images, promises: Promises
) -> None:
    with server_under('exec "$@" 2>/dev/full', tmp_path) as server:
        async with traffic(server.address, images) as callers:
            await callers.more(500)
    assert callers.outcomes.right == callers.outcomes.items
    promises.kept(
        "disk full for logs",
        "the server starts, serves, drains and exits 0 without its log",
        callers.outcomes,
    )


async def test_open_streams_go_on_while_descriptors_are_exhausted(
    tmp_path: Path, images: Images, promises: Promises
) -> None:
    limit = 64
    with server_under(f'ulimit -n {limit}; exec "$@"', tmp_path) as server:
        async with traffic(server.address, images) as callers:
            await callers.more(100)
            refused = await _connect_until_refused(server.address, 2 * limit)
            await callers.more(500)
        assert refused, "the limit was reached"

        async def answers() -> bool:
            async with AsyncClient(server.address, connect_timeout=2) as client:
                try:
                    return bool(await client.recognize(images[0]))
                except ConnectionFailed:
                    return False

        for _ in range(20):
            if await answers():
                break
        else:
            pytest.fail("no new connection although descriptors are free again")
    assert callers.outcomes.right == callers.outcomes.items
    promises.kept(
        f"file descriptors exhausted (ulimit -n {limit})",
        "open streams go on; new connections wait until one is free",
        f"{callers.outcomes}; {refused} connections were refused, later ones were accepted",
    )


async def _connect_until_refused(address: str, most: int) -> int:
    """Open streams, each on its own connection; return how many were refused, and close all."""
    async with contextlib.AsyncExitStack() as held:
        for opened in range(most):
            service = await held.enter_async_context(stub(address))
            try:
                async with asyncio.timeout(3):
                    await open_stream(service)
            except (TimeoutError, grpc.aio.AioRpcError):
                return most - opened
    return 0
