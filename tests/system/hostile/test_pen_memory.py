"""Other clients, and the memory of the server, while callers make their pens hold as much as they can."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.integration.conftest import RunningServer
from tests.integration.pen_attacks import ATTACKS, Attack, attacking, memory_mb
from tests.patience import eventually
from tests.system.faults.traffic import Images, traffic
from tests.system.promises import Promises

STREAMS = 3
STREAM_MB = 8
"""The server's default for `--max-stream-memory`."""
SPARE_MB = 40
"""What the allocator keeps, and gRPC: a message of 4 MB for each stream, and its windows."""


@pytest.mark.parametrize("reads", [True, False], ids=["reads", "reads nothing"])
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda it: it.__name__)
async def test_pens_take_no_more_memory_than_their_streams_may(
    attack: Attack, reads: bool, server: RunningServer, images: Images, promises: Promises
) -> None:
    most = 0.0
    async with traffic(server.address, images, clients=1) as callers:
        await callers.more(1000)
        before = memory_mb(server.pid)
        async with AsyncExitStack() as stack:
            entering = [
                asyncio.create_task(
                    stack.enter_async_context(attacking(server.address, attack, 1, reads=reads))
                )
                for _ in range(STREAMS)
            ]
            while not all(task.done() for task in entering):
                most = max(most, memory_mb(server.pid))
                await callers.more(50)
            hoards = [task.result() for task in entering]
            most = max(most, memory_mb(server.pid))
            held = server.metrics().value("inkstream_memory_held_bytes", kind="ink")
            assert held <= STREAMS * STREAM_MB * 2**20 / 2
        await eventually(
            "nothing is held",
            lambda: server.metrics().value("inkstream_memory_held_bytes", kind="ink") == 0,
        )
        await callers.more(1000)
    assert callers.outcomes.right == callers.outcomes.items
    assert most <= before + STREAMS * STREAM_MB + SPARE_MB
    promises.kept(
        f"{STREAMS} streams: {(attack.__doc__ or '').strip('. ')}{'' if reads else ', no answer read'}",
        f"at most {STREAM_MB} MB a stream; others lose nothing",
        f"memory {before:.0f} MB, at most {most:.0f}, then {memory_mb(server.pid):.0f}; "
        f"{sum(hoard.refused for hoard in hoards):,} events refused, "
        f"{sum(hoard.answers for hoard in hoards):,} answers; "
        f"{callers.outcomes.items:,} items of others, all right",
    )
