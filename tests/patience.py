"""Waits for a condition, up to a limit. A test passes because of the condition, never because of the wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

PATIENCE_SECONDS = 30.0
"""Longest wait; only a test that fails reaches it."""


async def eventually(what: str, is_so: Callable[[], bool]) -> None:
    """Check `is_so()`, less and less often, until it holds; fail with `what` after PATIENCE_SECONDS."""
    give_up, pause = monotonic() + PATIENCE_SECONDS, 0.005
    while not await asyncio.to_thread(is_so):
        if monotonic() > give_up:
            raise AssertionError(f"did not happen: {what}")
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.1)
