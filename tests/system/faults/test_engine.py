"""Items while the engine fails."""

from __future__ import annotations

import asyncio
import os
import signal
from functools import partial
from pathlib import Path

import pytest
from inkstream import AsyncClient, EngineFailed
from inkstream_server.process.watchdog import EXIT_STUCK

from tests.integration.conftest import STOP_SECONDS
from tests.patience import eventually
from tests.system.faults.conftest import StartFaulty
from tests.system.faults.traffic import Images, expected_digits, traffic
from tests.system.promises import Promises


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("raise", "engine raises"),
        ("nan", "engine answers NaN"),
        ("shape", "engine answers with a wrong shape"),
    ],
)
async def test_a_batch_that_fails_is_answered_by_id_and_ends_no_stream(
    words: str, fault: str, start_faulty: StartFaulty, images: Images, promises: Promises
) -> None:
    server = start_faulty()
    expected = expected_digits(images[:3])
    async with AsyncClient(server.running.address) as client:
        assert (await client.recognize(images[0])).digit == expected[0]
        server.engine(words)
        outcomes = await _outcomes(client, images[:40])
        assert outcomes == [EngineFailed] * 40
        server.engine("")
        assert (await client.recognize(images[2])).digit == expected[2]
    metrics = server.running.metrics()
    assert metrics.total("grpc_server_started_total", grpc_type="bidi_stream") == 1
    assert metrics.value("inkstream_items_total", kind="tensor", outcome="failed") == 40
    promises.kept(
        fault,
        "its items fail by id with INTERNAL, the stream and later items go on",
        "40 items failed by id, the next was right, on one stream",
    )


async def test_an_event_loop_blocked_for_two_seconds_loses_no_items(
    start_faulty: StartFaulty, images: Images, promises: Promises
) -> None:
    server = start_faulty()
    async with traffic(server.running.address, images) as callers:
        await callers.more(100)
        server.engine("sleep 2")
        await callers.more(callers.under_way + 1)  # At least one of them began after the command.
        server.engine("")
        await callers.more(100)
    assert callers.outcomes.right == callers.outcomes.items
    assert callers.outcomes.slowest > 1.5
    promises.kept(
        "event loop blocked for 2 s", "every item is answered once and right", callers.outcomes
    )


async def test_a_process_whose_engine_hangs_ends_and_writes_its_stacks(
    start_faulty: StartFaulty, images: Images, promises: Promises
) -> None:
    server = start_faulty("--stuck-timeout", "1")
    async with AsyncClient(server.running.address, connect_timeout=1) as client:
        await client.recognize(images[0])
        server.engine("hang")
        answer = await client.submit(images[0])
        code = await asyncio.to_thread(server.running.process.wait, STOP_SECONDS)
        answer.cancel()
    assert code == EXIT_STUCK
    assert "event loop" in server.running.stderr()
    assert "faulty_server.py" in server.running.stderr(), "the stacks name the hung engine"
    promises.kept(
        "engine hangs",
        "the process ends within --stuck-timeout with exit 70 and its stacks, so that a "
        "supervisor can start another",
        f"exit {code}, stacks on stderr",
    )


async def test_a_worker_whose_engine_hangs_is_replaced_and_no_item_is_lost(
    start_faulty: StartFaulty, images: Images, promises: Promises
) -> None:
    server = start_faulty("--workers", "2", "--stuck-timeout", "1", "--max-restarts", "20")

    def restarts() -> float:
        return server.running.metrics().total("inkstream_worker_restarts_total")

    async with traffic(server.running.address, images) as callers:
        await callers.more(200)
        server.engine("hang")
        await eventually("a worker is replaced", lambda: restarts() > 0)
        server.engine("")
        await callers.more(200)
    assert callers.outcomes.right == callers.outcomes.items
    promises.kept(
        "engine of a worker hangs (--workers 2)",
        "the worker ends and is replaced; every item is answered once and right",
        callers.outcomes,
    )


async def test_a_killed_worker_loses_no_items(
    start_faulty: StartFaulty, images: Images, promises: Promises
) -> None:
    server = start_faulty("--workers", "2", "--max-restarts", "20")

    def has_restarted(times: int) -> bool:
        return server.running.metrics().total("inkstream_worker_restarts_total") >= times

    async with traffic(server.running.address, images) as callers:
        for kills in range(1, 6):
            await callers.more(200)
            victim = await asyncio.to_thread(_a_worker_of, server.running.pid)
            os.kill(victim, signal.SIGKILL)
            await eventually("the worker is replaced", partial(has_restarted, kills))
        await callers.more(200)
    assert callers.outcomes.right == callers.outcomes.items
    promises.kept(
        "a worker of two killed (-9), 5 times under load",
        "it is replaced; every item is answered once and right",
        callers.outcomes,
    )


def _a_worker_of(supervisor: int) -> int:
    """The youngest process that a supervisor started to serve."""
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    serving = [
        int(child)
        for child in children
        if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()
    ]
    return max(serving)


async def _outcomes(client: AsyncClient, images: Images) -> list[type]:
    found: list[type] = []
    async for outcome in client.stream(images, return_exceptions=True):
        found.append(type(outcome))
    return found
