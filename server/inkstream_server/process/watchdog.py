"""Ends a process whose work has stopped moving, so that whoever supervises it starts another.

An engine that never comes back cannot be stopped from within: in place it holds the event loop, in a thread
the batcher. Clients send what was unanswered to the next process, so a quick end loses nothing, and waiting
loses everything.
"""

import asyncio
import faulthandler
import os
import sys
import threading
from collections.abc import Callable
from typing import Final, NoReturn

EXIT_STUCK: Final = 70
"""Exit code of a process that the watchdog ended: EX_SOFTWARE of sysexits.h."""

LOOKS: Final = 10
"""Looks in a row at which nothing has moved, after which a process is given up."""


class Stillness:
    """Counts looks at which nothing had moved.

    It counts looks rather than reads a clock: a machine that slept, or a process that its owner stopped
    for a while, comes back with none missed, and is left in peace.
    """

    def __init__(self, what: str) -> None:
        """Begin at rest; `what` names what is looked at."""
        self._what = what
        self._seen = -1
        self._looks = 0

    def look(self, moves: int) -> str | None:
        """Note how often it has moved so far; gives its name once it has stood still for `LOOKS` looks."""
        self._looks = self._looks + 1 if moves == self._seen else 0
        self._seen = moves
        return self._what if self._looks >= LOOKS else None


class Watchdog:
    """Looks at the event loop and at the engine's thread, from a thread of its own."""

    def __init__(
        self,
        seconds: float,
        working_on: Callable[[], object | None],
        on_stuck: Callable[[str], None] | None = None,
    ) -> None:
        """Prepare; `run` begins.

        Args:
            seconds: how long the loop may be silent, or the engine's thread at one batch.
            working_on: gives what the engine's thread works on, compared by identity; None when it is
                idle. Called in the event loop.
            on_stuck: called in the watchdog's thread with what is stuck; None to write all stacks to
                stderr and end the process with `EXIT_STUCK`.
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
            silent, busy = loop.look(self._turns), engine.look(self._batches)
            if stuck := silent or busy:
                self._on_stuck(stuck)
                return


def _end_process(what: str) -> NoReturn:
    """Say where every thread stands, and end without waiting for any of them."""
    # Straight to the descriptor: the logger may be what is stuck.
    os.write(sys.stderr.fileno(), f"event=stuck what={what!r} exit={EXIT_STUCK}\n".encode())
    faulthandler.dump_traceback(all_threads=True)
    os._exit(EXIT_STUCK)
