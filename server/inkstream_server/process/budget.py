"""Bounds the part of a core that a thread beside the event loop takes from it."""

from math import inf
from typing import Final

SHARE: Final = 0.25
"""Part of a core that a thread may use, in the long run."""

BURST_SECONDS: Final = 1.0
"""Seconds of a core that are not held back, after a rest."""


class Budget:
    """The time of a core that a thread may use: `SHARE` of it, after a burst of `BURST_SECONDS`."""

    def __init__(self) -> None:
        """Begin after a rest, in the thread's first moment."""
        self._used = 0.0
        self._free_at = -inf
        """When everything that was used is paid for."""

    def charge(self, used: float, now: float) -> None:
        """Count what the thread has used since its start, in seconds of a core."""
        earliest = now - BURST_SECONDS / SHARE
        self._free_at = max(self._free_at, earliest) + (used - self._used) / SHARE
        self._used = used

    def rest(self, now: float) -> float:
        """Give the seconds that the thread must rest; 0 or less if it may go on."""
        return self._free_at - now
