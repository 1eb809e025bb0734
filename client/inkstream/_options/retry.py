"""When a client tries again, how long it waits before, and when it gives up. Pure: no clock, no sockets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeGuard

from inkstream._exceptions import (
    AccessPending,
    ConnectionFailed,
    ConnectionLost,
    Overloaded,
    RetryableError,
    ServerDraining,
)
from inkstream._options.checks import require_number
from inkstream.v1 import error_pb2

RETRIED: tuple[type[RetryableError], ...] = (
    ConnectionFailed,
    ConnectionLost,
    ServerDraining,
    AccessPending,
)
"""Ends of a stream after which the client opens another: UNAVAILABLE, a broken connection, a server that
stops, UNAUTHENTICATED with a time to call again; `is_retried` adds RESOURCE_EXHAUSTED with such a time. A new
stream would meet every other status again (INVALID_ARGUMENT, NOT_FOUND, these two without such a time,
PERMISSION_DENIED, UNIMPLEMENTED ...), so the client reports it at once."""

RETRIED_ITEMS = frozenset(
    {error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED, error_pb2.ERROR_CODE_UNAVAILABLE}
)
"""Errors of single images after which `RetryPolicy.item_retries` sends them again."""


def is_retried(error: BaseException) -> TypeGuard[RetryableError]:
    """Whether the client opens another stream after one that ended in this way."""
    is_short = isinstance(error, Overloaded) and error.retry_after is not None
    return is_short or isinstance(error, RETRIED)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When a client reconnects, sends again what is unanswered, and gives up."""

    first_delay: float = 0.05
    """Seconds before the second attempt; every further one waits `factor` times as long."""
    factor: float = 2.0
    """Growth of the delay from attempt to attempt; 1 for none."""
    longest_delay: float = 2.0
    """Upper bound of the delay in seconds. Raise it where many thousand clients share a server."""
    jitter: float = 0.5
    """Random share of each delay, 0 to 1, so that clients do not all reconnect at once."""
    attempts: int | None = None
    """Attempts in a row without an answer after which everything that waits fails; None for no limit. 0
    fails it with the first broken stream, for callers that retry themselves."""
    seconds: float | None = 60.0
    """Seconds without an answer after which everything that waits fails, with the last error; None for no
    limit. The next use connects again."""
    first_attempts: int = 1
    """Attempts to reach a server for the first time; 1 reports a wrong address at once. Raise it where a
    client may start before its server."""
    resends: int = 16
    """Broken streams that may carry the same item before it fails, as it may be what breaks them."""
    item_retries: int = 0
    """Times that the client sends an image again which the server refused with RESOURCE_EXHAUSTED or
    UNAVAILABLE, each after the delay that the server named; 0 passes the error to the caller."""

    def __post_init__(self) -> None:
        for name, most in (("first_delay", 3600), ("longest_delay", 3600), ("jitter", 1)):
            require_number(name, getattr(self, name), 0, most)
        require_number("factor", self.factor, 1, 100)
        for name, least in (("first_attempts", 1), ("resends", 0), ("item_retries", 0)):
            require_number(name, getattr(self, name), least, whole=True)
        if self.attempts is not None:
            require_number("attempts", self.attempts, 0, whole=True)
        if self.seconds is not None:
            require_number("seconds", self.seconds, 0)

    def delay(self, failures: int, chance: float) -> float:
        """Seconds to wait before the next attempt.

        Args:
            failures: attempts that have failed in a row, from 1.
            chance: a random number from 0 to 1.
        """
        # No useful factor needs a larger exponent, and a larger one overflows.
        grown = self.first_delay * self.factor ** min(failures - 1, 64)
        return min(grown, self.longest_delay) * (1.0 - self.jitter * chance)

    def is_exhausted(self, failures: int, seconds: float, *, was_open: bool) -> bool:
        """Whether to give up.

        Args:
            failures: attempts that have failed in a row.
            seconds: time since the first of them.
            was_open: whether the client has ever reached a server.
        """
        if not was_open:
            return failures >= self.first_attempts
        if self.attempts is not None and failures > self.attempts:
            return True
        return self.seconds is not None and seconds >= self.seconds
