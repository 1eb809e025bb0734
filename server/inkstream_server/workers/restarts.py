"""How soon, and how often, a worker that died is started again."""

STEADY_SECONDS = 60.0
"""Who lived this long did not die of how it was started: counting begins anew."""

FIRST_SECONDS = 0.1
"""Pause before the first restart; each further one in a row takes twice as long."""

LONGEST_SECONDS = 10.0
"""Longest pause."""


class Restarts:
    """The deaths in a row at one slot."""

    def __init__(self, limit: int) -> None:
        """Allow `limit` restarts in a row."""
        self._limit = limit
        self._in_a_row = 0

    def pause(self, lived: float) -> float | None:
        """Note a death.

        Args:
            lived: seconds from start to death.

        Returns: seconds to wait before the next start, or None when there should be none.
        """
        if lived >= STEADY_SECONDS:
            self._in_a_row = 0
        self._in_a_row += 1
        if self._in_a_row > self._limit:
            return None
        return float(min(FIRST_SECONDS * 2 ** (self._in_a_row - 1), LONGEST_SECONDS))
