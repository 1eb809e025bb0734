"""Tells whether the process is so busy that waiting for company pays. Knows clocks only."""

from collections.abc import Callable
from time import perf_counter, process_time

SAMPLE_SECONDS = 0.02
"""Time between two looks at the processor clock, which can take a tenth of a millisecond to read."""

BUSY_SHARE = 0.75
"""Share of a core from which on the process counts as busy. One caller who waits for each answer keeps a
server at 0.3 to 0.6: it never counts."""


class Tempo:
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
