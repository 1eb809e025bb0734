"""What pens make a server hold stays within the limit of their stream; the long attacks are system tests."""

from __future__ import annotations

import pytest

from tests.integration.conftest import RunningServer
from tests.integration.pen_attacks import (
    Attack,
    attacking,
    long_digits,
    long_openings,
    many_boxes,
    memory_mb,
)
from tests.patience import eventually

MEMORY_MB = 36
"""8 MB of a stream, and what the allocator and gRPC keep of its messages: 24 to 29 MB in all in a server that
has answered nothing before."""


@pytest.mark.parametrize(
    ("attack", "share"), [(many_boxes, 0.2), (long_openings, 0.15), (long_digits, 0.05)]
)
async def test_pens_take_no_more_memory_than_their_stream_may(
    attack: Attack, share: float, server: RunningServer
) -> None:
    before = memory_mb(server.pid)
    async with attacking(server.address, attack, share) as hoard:
        assert hoard.is_sent
        await eventually("little memory", lambda: memory_mb(server.pid) < before + MEMORY_MB)
        held = server.metrics().value("inkstream_memory_held_bytes", kind="ink")
        assert held <= 8 * 2**20 // 2
    assert hoard.refused > 0 or attack is not many_boxes
    await eventually(
        "nothing is held",
        lambda: server.metrics().value("inkstream_memory_held_bytes", kind="ink") == 0,
    )
