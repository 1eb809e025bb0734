"""Delays dispatch briefly under load, so that batches grow. Knows clocks and an event loop.

A batch costs little more than a frame, and answers that leave together cost one message. So a busy process
gains by a short wait, and an idle one does not.
"""

import asyncio
import os
from collections.abc import Callable
from time import perf_counter, process_time

SAMPLE_SECONDS = 0.02
"""Time between two readings of the processor clock; one reading can take a tenth of a millisecond."""
BUSY_SHARE = 0.75
"""Share of a core from which the process counts as busy. One caller that waits for each answer uses 0.3 to
0.6, so it never counts."""

LOOK_SECONDS = 0.0003
"""Time between two looks for new blocks while a batch waits."""

QUIET_LOOKS = 2
"""Looks in a row without a new block that end the wait. One is not enough: a late loop may have run its
timers before it read its sockets."""

ALONE_SECONDS = 0.02
"""How long no batch waits after a wait that brought no second block: one caller that waits for each answer
can keep a core busy, too."""

_give_way = getattr(os, "sched_yield", lambda: None)  # Windows has none.


class Linger:
    """One wait at a time, for all blocks in the queue."""

    def __init__(
        self,
        seconds: float,
        is_busy: Callable[[], bool],
        waiting: Callable[[], int],
        go: Callable[[float], None],
    ) -> None:
        """Prepare.

        Args:
            seconds: longest wait; 0 for none.
            is_busy: whether the process is busy.
            waiting: how many frames are in the queue.
            go: called when a wait is over, with the time at which it should have been called, on the clock
                of `time.perf_counter`.
        """
        self._seconds = seconds
        self._is_busy = is_busy
        self._waiting = waiting
        self._go = go
        self._timer: asyncio.TimerHandle | None = None
        self._arrivals = 0
        self._alone_until = 0.0

    def came(self) -> None:
        """Note that frames arrived in the queue."""
        self._arrivals += 1

    def pays(self, deadline: float | None) -> bool:
        """Whether a wait is worth its time, and cannot make a block miss its deadline."""
        if not self._seconds or not self._is_busy() or perf_counter() < self._alone_until:
            return False
        return deadline is None or deadline - perf_counter() > 2 * self._seconds

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait, unless a wait is under way."""
        if self._timer is None:
            self._look(loop, loop.time() + self._seconds, 0, 0, perf_counter())

    def end(self) -> None:
        """End the wait: the queue is being dispatched."""
        self._arrivals = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(
        self, loop: asyncio.AbstractEventLoop, end: float, seen: int, quiet: int, expected: float
    ) -> None:
        """Wait on while blocks keep arriving and there is time.

        Args:
            loop: the running one.
            end: when to stop waiting, on the loop's clock.
            seen: frames that waited at the last look.
            quiet: looks in a row at which nothing new was there.
            expected: when this look should have been.
        """
        # Transport's threads share the core. Without this they would not run, and nothing new would arrive.
        _give_way()
        waiting = self._waiting()
        quiet = quiet + 1 if seen == waiting else 0
        if quiet < QUIET_LOOKS and loop.time() < end:
            next_look = perf_counter() + LOOK_SECONDS
            self._timer = loop.call_later(
                LOOK_SECONDS, self._look, loop, end, waiting, quiet, next_look
            )
            return
        if self._arrivals == 1:
            self._alone_until = perf_counter() + ALONE_SECONDS
        self._go(expected)


class BusyMeter:
    """Tells a busy process by the processor time that it used between arrivals."""

    def __init__(
        self,
        clock: Callable[[], float] = perf_counter,
        cpu_clock: Callable[[], float] = process_time,
    ) -> None:
        """Start as not busy.

        Args:
            clock: seconds that pass.
            cpu_clock: seconds of processor time that the process has used.
        """
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._since = clock()
        self._cpu_since = cpu_clock()
        self._busy = False

    def is_busy(self) -> bool:
        """Whether the process is busy; call it at every arrival."""
        now = self._clock()
        if now - self._since >= SAMPLE_SECONDS:
            cpu = self._cpu_clock()
            self._busy = cpu - self._cpu_since >= BUSY_SHARE * (now - self._since)
            self._since, self._cpu_since = now, cpu
        return self._busy
