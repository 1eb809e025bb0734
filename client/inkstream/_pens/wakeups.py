"""When ink must leave, and whether a thread that adds some must wake the taker."""

from __future__ import annotations

from collections.abc import Callable


class Wakeups:
    """The two wake-ups of an ink outbox, guarded by its lock.

    To wake the taker from another thread costs a system call, so a thread that adds wakes it only if it would
    sleep too long, and once a sleep. `_due` is when the taker must take: never after all was taken,
    `packet_seconds` after the first point, at once after something urgent. The taker calls `take` until that
    gives nothing, then `seconds_left`, then sleeps at most that long. These hold under the lock:

    1. While something waits, `_due` is a number, and it never rises before all that is taken or dropped.
    2. Only `seconds_left` and `rest` set a flag, only a method that returns True clears them. So a cleared
       flag means that a wake-up is under way, or that the taker sleeps no longer than until `_due` was:
       either way it takes what is added now in time.
    3. `_wakes_for_any` is set while the taker sleeps without a limit: whatever is added first wakes it.
    4. `_wakes_for_urgent` is set while it sleeps, with or without a limit. A point that is added to others
       wakes nobody, since the limit is their `_due`; what is urgent must leave before it, and wakes.
    5. A wake-up clears both flags: whatever is added until the taker sleeps again needs no second one.
    6. The taker's own thread makes ink due without a wake-up (`make_due`): it looks at `seconds_left` before
       it sleeps.

    A flag that is set although the taker is awake costs one needless wake-up and loses nothing.
    """

    def __init__(self, packet_seconds: float, clock: Callable[[], float]) -> None:
        """Start with nothing due.

        Args:
            packet_seconds: how long a point waits for others to share its message.
            clock: seconds that only go forward.
        """
        self._packet = packet_seconds
        self._clock = clock
        self._due: float | None = None
        self._wakes_for_any = True
        """Whether the taker sleeps until it is woken."""
        self._wakes_for_urgent = True
        """Whether the taker sleeps, at most until the ink is due."""

    @property
    def has_waiting(self) -> bool:
        """Whether something waits."""
        return self._due is not None

    @property
    def is_due(self) -> bool:
        """Whether it must leave now."""
        return self._due is not None and self._due <= self._clock()

    def added(self, *, is_urgent: bool) -> bool:
        """Something was added; returns whether to wake the taker."""
        if is_urgent:
            self._due = 0.0
        elif self._due is None:
            self._due = self._clock() + self._packet
        wakes = self._wakes_for_urgent if is_urgent else self._wakes_for_any
        if wakes:
            self._wakes_for_any = self._wakes_for_urgent = False
        return wakes

    def make_due(self) -> None:
        """Have what waits leave at once."""
        self._due = 0.0

    def emptied(self) -> None:
        """Nothing waits any more."""
        self._due = None

    def rest(self) -> None:
        """Nothing waits, and the taker sleeps."""
        self._due = None
        self._wakes_for_any = self._wakes_for_urgent = True

    def seconds_left(self) -> float | None:
        """Seconds until something is due, None if nothing waits. The taker may sleep that long."""
        self._wakes_for_urgent = True
        self._wakes_for_any = self._due is None
        return None if self._due is None else max(0.0, self._due - self._clock())
