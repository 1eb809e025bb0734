"""The clock that pens run by: the event loop's, or one that a test moves."""

from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A call that is scheduled."""

    def cancel(self) -> None:
        """Drop the call."""
        ...


class Clock(Protocol):
    """Tells the time and schedules calls. `asyncio.AbstractEventLoop` is one."""

    def time(self) -> float:
        """Give the seconds since any fixed moment."""
        ...

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Schedule a call in the event loop for the time `when`, in seconds of `time`."""
        ...
