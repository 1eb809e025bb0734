"""Waiting for what must happen: bounded, and never as a way to pass."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

PATIENCE_SECONDS = 30.0
"""Longest wait for what must happen; reached only by a failure."""


async def eventually(what: str, is_so: Callable[[], bool]) -> None:
    """Look until something is so; fail with `what` when it never comes to be."""
    give_up = monotonic() + PATIENCE_SECONDS
    while not await asyncio.to_thread(is_so):
        if monotonic() > give_up:
            raise AssertionError(f"never came to be: {what}")
        await asyncio.sleep(0.01)
