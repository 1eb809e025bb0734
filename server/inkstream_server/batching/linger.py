"""Has blocks wait for company while the process is busy, until nobody speaks. Knows clocks and a loop.

A batch costs little more than a frame, and answers that leave together cost one message: so a busy process
gains by a short wait, and one that is not has nothing to wait for.
"""

import asyncio
import os
from collections.abc import Callable
from time import perf_counter, process_time

SAMPLE_SECONDS = 0.02
"""Time between two looks at the processor clock, which can take a tenth of a millisecond to read."""
BUSY_SHARE = 0.75
"""Share of a core from which on the process counts as busy. One caller who waits for each answer keeps a
server at 0.3 to 0.6: it never counts."""


LOOK_SECONDS = 0.0003
"""How often a batch that waits for company looks whether more comes."""

QUIET_LOOKS = 2
"""Looks in a row that find nothing new, after which a batch has all it will get. One may mean no more than
that the loop was late, and its timers came before its sockets."""

ALONE_SECONDS = 0.02
"""How long nobody is waited for after a wait that brought no company: one caller who waits for each answer
can keep a core busy, too."""

_give_way = getattr(os, "sched_yield", lambda: None)  # Windows has none.


class Linger:
    """One wait at a time, for all that is in the queue."""

    def __init__(
        self,
        seconds: float,
        is_busy: Callable[[], bool],
        waiting: Callable[[], int],
        go: Callable[[float], None],
    ) -> None:
        """Prepare.

        Args:
            seconds: most that a wait may take; 0 for none.
            is_busy: tells whether the process is.
            waiting: tells how many frames are in the queue.
            go: called when a wait is over, with the moment on the clock of `time.perf_counter` at which
                that should have been.
        """
        self._seconds = seconds
        self._is_busy = is_busy
        self._waiting = waiting
        self._go = go
        self._timer: asyncio.TimerHandle | None = None
        self._newcomers = 0
        self._alone_until = 0.0

    def came(self) -> None:
        """Note that a block came, or a part of one."""
        self._newcomers += 1

    def pays(self, deadline: float | None) -> bool:
        """Tell whether waiting for company is worth its time, and cannot cost a block its deadline."""
        if not self._seconds or not self._is_busy() or perf_counter() < self._alone_until:
            return False
        return deadline is None or deadline - perf_counter() > 2 * self._seconds

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait, unless a wait is under way."""
        if self._timer is None:
            self._look(loop, loop.time() + self._seconds, 0, 0, perf_counter())

    def end(self) -> None:
        """Wait no longer: the queue is being seen to."""
        self._newcomers = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(
        self, loop: asyncio.AbstractEventLoop, end: float, seen: int, quiet: int, expected: float
    ) -> None:
        """Wait on while blocks keep coming and there is time.

        Args:
            loop: the running one.
            end: when to stop waiting, on the loop's clock.
            seen: frames that waited at the last look.
            quiet: looks in a row at which nothing new was there.
            expected: when this look should have been.
        """
        # The transport's threads share the core: they get their turn now, or this finds nothing new.
        _give_way()
        waiting = self._waiting()
        quiet = quiet + 1 if seen == waiting else 0
        if quiet < QUIET_LOOKS and loop.time() < end:
            due = perf_counter() + LOOK_SECONDS
            self._timer = loop.call_later(LOOK_SECONDS, self._look, loop, end, waiting, quiet, due)
            return
        if self._newcomers == 1:
            self._alone_until = perf_counter() + ALONE_SECONDS
        self._go(expected)


class BusyMeter:
    """Watches the processor time that passes between arrivals."""

    def __init__(
        self,
        clock: Callable[[], float] = perf_counter,
        cpu_clock: Callable[[], float] = process_time,
    ) -> None:
        """Start at rest.

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
        """Tell whether an arrival should wait for others; to be asked at every one."""
        now = self._clock()
        if now - self._since >= SAMPLE_SECONDS:
            cpu = self._cpu_clock()
            self._busy = cpu - self._cpu_since >= BUSY_SHARE * (now - self._since)
            self._since, self._cpu_since = now, cpu
        return self._busy
