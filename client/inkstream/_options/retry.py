"""When a client tries again, how long it waits before, and when it gives up. Pure: no clock, no sockets.

What is retried is one table, `RETRIED`; how patiently, one value, `RetryPolicy`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from inkstream._exceptions import (
    ConnectionFailed,
    ConnectionLost,
    InkstreamError,
    InvalidRequest,
    ServerDraining,
)
from inkstream.v1 import error_pb2

RETRIED: tuple[type[InkstreamError], ...] = (ConnectionFailed, ConnectionLost, ServerDraining)
"""Ends of a stream after which the client opens another: UNAVAILABLE, a connection that broke, a server
that stops. Every other status (INVALID_ARGUMENT, NOT_FOUND, UNAUTHENTICATED, PERMISSION_DENIED,
RESOURCE_EXHAUSTED, UNIMPLEMENTED ...) would come back, so it is told at once. `from_status` maps
statuses to these errors."""

RETRIED_ITEMS = frozenset(
    {error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED, error_pb2.ERROR_CODE_UNAVAILABLE}
)
"""Errors of single items that `RetryPolicy.item_retries` is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How patiently a client stands by what it was given when its server is away."""

    first_delay: float = 0.05
    """Seconds before the second attempt; every further one waits `factor` times as long."""
    factor: float = 2.0
    """Growth of the delay from attempt to attempt; 1 for none."""
    longest_delay: float = 2.0
    """Seconds that no delay exceeds. Raise it where many thousand clients share a server."""
    jitter: float = 0.5
    """Share of each delay that is left to chance, 0 to 1, so that clients do not come back together."""
    attempts: int | None = None
    """Attempts in a row that bring no answer, until all that waits fails; None for no limit, 0 to fail
    with the first broken stream, for callers that retry themselves."""
    seconds: float | None = 60.0
    """Seconds without an answer until all that waits fails; None for no limit. It then fails with the last
    error; the next use tries anew."""
    first_attempts: int = 1
    """Attempts to reach a server for the first time: 1 tells a wrong address at once. Raise it where a client
    may start before its server."""
    resends: int = 16
    """Times that one item may go down with its stream until it fails: what kills every server it meets must
    not kill them all."""
    item_retries: int = 0
    """Times that an image is sent again which the server refused with RESOURCE_EXHAUSTED or UNAVAILABLE,
    each after the time that the server named; 0 hands the refusal to the caller."""

    def __post_init__(self) -> None:
        for name, least, most in (
            ("first_delay", 0.0, 3600.0),
            ("factor", 1.0, 100.0),
            ("longest_delay", 0.0, 3600.0),
            ("jitter", 0.0, 1.0),
            ("attempts", 0, math.inf),
            ("seconds", 0.0, math.inf),
            ("first_attempts", 1, math.inf),
            ("resends", 0, math.inf),
            ("item_retries", 0, math.inf),
        ):
            value = getattr(self, name)
            if value is None and name in ("attempts", "seconds"):
                continue
            if not isinstance(value, int | float) or not least <= value <= most:
                raise InvalidRequest(f"{name}: expected {least:g} to {most:g}, got {value!r}")

    def delay(self, failures: int, chance: float) -> float:
        """Seconds to wait before the next attempt.

        Args:
            failures: attempts that have failed in a row, from 1.
            chance: a random number from 0 to 1.
        """
        # An exponent beyond this is `longest_delay` for any factor worth having.
        grown = self.first_delay * self.factor ** min(failures - 1, 64)
        return min(grown, self.longest_delay) * (1.0 - self.jitter * chance)

    def is_exhausted(self, failures: int, seconds: float, *, was_open: bool) -> bool:
        """Whether to give up.

        Args:
            failures: attempts that have failed in a row.
            seconds: time since the first of them.
            was_open: whether the server has ever been reached.
        """
        if not was_open:
            return failures >= self.first_attempts
        if self.attempts is not None and failures > self.attempts:
            return True
        return self.seconds is not None and seconds >= self.seconds
