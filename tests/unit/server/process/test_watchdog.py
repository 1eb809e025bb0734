from __future__ import annotations

import asyncio
import queue
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hypothesis import given
from hypothesis import strategies as st
from inkstream_server.process.watchdog import EXIT_STUCK, LOOKS, Stillness, Watchdog

from tests.patience import PATIENCE_SECONDS, eventually


def test_a_stuck_part_is_reported_at_the_last_look_and_not_before() -> None:
    stillness = Stillness("engine")
    assert [stillness.look(7) for _ in range(LOOKS + 1)] == [None] * LOOKS + ["engine"]


@given(st.lists(st.integers(0, LOOKS - 1), max_size=20))
def test_slow_progress_is_not_stuck(pauses: list[int]) -> None:
    stillness = Stillness("engine")
    for moves, pause in enumerate(pauses):
        assert [stillness.look(moves) for _ in range(pause + 1)] == [None] * (pause + 1)


async def test_a_blocked_loop_is_noticed() -> None:
    reported: queue.Queue[str] = queue.Queue()
    async with watching(Watchdog(0.05, lambda: None, reported.put)):
        # Blocks the loop until the watchdog has noticed it.
        assert reported.get(timeout=PATIENCE_SECONDS) == "event loop"


async def test_an_engine_that_never_returns_is_noticed_while_the_loop_runs() -> None:
    reported: list[str] = []
    batch = object()
    async with watching(Watchdog(0.5, lambda: batch, reported.append)):
        await eventually("the watchdog reports the engine", lambda: bool(reported))


async def test_a_cancelled_watchdog_stops_looking() -> None:
    reported: list[str] = []
    async with watching(Watchdog(0.05, lambda: None, reported.append)):
        pass
    await asyncio.to_thread(_await_end_of_thread, "watchdog")
    assert reported == []


def test_a_stuck_process_ends_though_nobody_reads_its_stderr() -> None:
    script = """if True:
        import os
        from inkstream_server.process import watchdog
        watchdog.LAST_WORDS_SECONDS = 0.1
        os.set_blocking(2, False)
        try:
            while True: os.write(2, bytes(4096))
        except BlockingIOError:
            os.set_blocking(2, True)
        watchdog._end_process("event loop")
    """
    with subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE) as process:
        try:
            assert process.wait(PATIENCE_SECONDS) == EXIT_STUCK
        finally:
            process.kill()


@asynccontextmanager
async def watching(dog: Watchdog) -> AsyncIterator[None]:
    task = asyncio.create_task(dog.run())
    await asyncio.sleep(0)  # Its thread has started after this turn of the loop.
    yield
    task.cancel()
    await asyncio.wait([task])


def _await_end_of_thread(name: str) -> None:
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()
