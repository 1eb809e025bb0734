"""Ends a process that is stuck, so that its supervisor starts another.

An engine that never returns cannot be stopped from within: it blocks the event loop or, in a thread, the
batcher. Clients send unanswered items to the next process, so that a quick end loses nothing.
"""

import asyncio
import faulthandler
import os
import threading
from collections.abc import Callable
from typing import Final, NoReturn

from inkstream_server import logs

EXIT_STUCK: Final = 70
"""Exit code of a process that the watchdog ended: EX_SOFTWARE of sysexits.h."""

LAST_WORDS_SECONDS: Final = 2.0
"""How long a process may take to write why it ends: a pipe that nobody reads may be what it is stuck on."""

LOOKS: Final = 10
"""Number of looks in a row without progress after which a process is stuck."""


class Stillness:
    """Counts looks without progress.

    It reads no clock, so that a machine that slept or a process that was suspended does not count as stuck.
    """

    def __init__(self, what: str) -> None:
        """Begin with no looks; `what` names what is watched."""
        self._what = what
        self._seen = -1
        self._looks = 0

    def look(self, moves: int) -> str | None:
        """Compare progress with the last look; gives the name after `LOOKS` looks without any."""
        self._looks = self._looks + 1 if moves == self._seen else 0
        self._seen = moves
        return self._what if self._looks >= LOOKS else None


class Watchdog:
    """Watches the event loop and the engine's thread, from a thread of its own."""

    def __init__(
        self,
        seconds: float,
        working_on: Callable[[], object | None],
        on_stuck: Callable[[str], None] | None = None,
    ) -> None:
        """Prepare; `run` starts it.

        Args:
            seconds: how long the loop may be blocked, or the engine's thread busy with one batch.
            working_on: gives the batch of the engine's thread, compared by identity; None if it is idle.
                Called in the event loop.
            on_stuck: called in the watchdog's thread with the name of what is stuck; None to write all stacks
                to stderr and end the process with `EXIT_STUCK`.
        """
        self._pause = seconds / LOOKS
        self._working_on = working_on
        self._on_stuck = on_stuck or _end_process
        self._stopped = threading.Event()
        self._turns = 0
        self._batches = 0
        self._batch: object | None = None

    async def run(self) -> None:
        """Watch the running event loop until cancelled."""
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        try:
            while True:
                self._turns += 1
                batch = self._working_on()
                if batch is None or batch is not self._batch:
                    self._batches += 1
                self._batch = batch
                await asyncio.sleep(self._pause / 2)
        finally:
            self._stopped.set()

    def _watch(self) -> None:
        loop, engine = Stillness("event loop"), Stillness("engine")
        while not self._stopped.wait(self._pause):
            blocked, busy = loop.look(self._turns), engine.look(self._batches)
            if stuck := blocked or busy:
                self._on_stuck(stuck)
                return


def _end_process(what: str) -> NoReturn:
    """Write the stacks of all threads, and end without waiting for any of them, or for a reader of stderr."""
    end = threading.Timer(LAST_WORDS_SECONDS, os._exit, [EXIT_STUCK])
    end.daemon = True
    end.start()
    logs.last_words("stuck", what=what, exit=EXIT_STUCK)
    faulthandler.dump_traceback(all_threads=True)
    os._exit(EXIT_STUCK)
