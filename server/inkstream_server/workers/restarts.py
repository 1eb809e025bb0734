"""Decides how soon and how often a dead worker is restarted."""

STEADY_SECONDS = 60.0
"""A worker that ran this long resets the restart counter."""

FIRST_SECONDS = 0.1
"""Pause before the first restart; it doubles with each further one in a row."""

LONGEST_SECONDS = 10.0
"""Longest pause."""


class Restarts:
    """The deaths in a row at one slot."""

    def __init__(self, limit: int) -> None:
        """Allow `limit` restarts in a row."""
        self._limit = limit
        self._in_a_row = 0

    def pause(self, lived: float) -> float | None:
        """Count a death.

        Args:
            lived: seconds from start to death.

        Returns: seconds to wait before the restart; None if the worker must not be restarted.
        """
        if lived >= STEADY_SECONDS:
            self._in_a_row = 0
        self._in_a_row += 1
        if self._in_a_row > self._limit:
            return None
        return float(min(FIRST_SECONDS * 2 ** (self._in_a_row - 1), LONGEST_SECONDS))
