"""Time as pens are told it. The running event loop is one clock; tests bring another."""

from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A call that is to come."""

    def cancel(self) -> None:
        """Have it not come."""
        ...


class Clock(Protocol):
    """Time, and calls at a time. Tests bring their own."""

    def time(self) -> float:
        """Seconds, from any beginning."""
        ...

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Have a call made in the event loop when `time` has reached `when`."""
        ...
