from __future__ import annotations

import asyncio

import structlog
from inkstream_server.server import log_failure


async def test_a_background_task_that_dies_is_logged_and_one_that_is_stopped_is_not() -> None:
    async def watch(error: Exception | None) -> None:
        if error is not None:
            raise error
        await asyncio.Event().wait()

    with structlog.testing.capture_logs() as lines:
        dying = asyncio.create_task(watch(OSError("no such file")), name="tokens")
        stopped = asyncio.create_task(watch(None), name="store")
        for watcher in (dying, stopped):
            watcher.add_done_callback(log_failure)
        await asyncio.wait([dying])
        stopped.cancel()
        await asyncio.wait([stopped])
    assert [(line["event"], line["watcher"]) for line in lines] == [("watcher_died", "tokens")]
    assert "no such file" in lines[0]["error"]
