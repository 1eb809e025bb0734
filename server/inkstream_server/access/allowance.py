"""The quota of one caller: open streams and items a second. Knows neither tokens nor gRPC."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

BURST_SECONDS = 1.0
"""Size of the token bucket, in seconds of its rate: the largest burst after a pause."""


@dataclass(frozen=True, slots=True)
class Quota:
    """Limits of one token; 0 stands for no limit."""

    streams: int = 0
    """Most streams that are open at once."""
    items_per_second: int = 0
    """Most frames and strokes a second, in all streams and calls together."""


class Allowance:
    """The rest of a quota. Use it in one event loop."""

    def __init__(self, quota: Quota = Quota(), clock: Callable[[], float] = monotonic) -> None:
        """Start with nothing used.

        Args:
            quota: the limits.
            clock: gives the time in seconds.
        """
        self._clock = clock
        self._streams = 0
        self._level = 0.0
        self._filled = clock()
        self.quota = quota
        self._level = self._most()

    @property
    def streams(self) -> int:
        """Number of open streams."""
        return self._streams

    def change(self, quota: Quota) -> None:
        """Set other limits. Streams beyond the new limit stay open; the bucket is cut to its new size."""
        self._fill()
        self.quota = quota
        self._level = min(self._level, self._most())

    def open_stream(self) -> bool:
        """Count one more stream; False, and nothing is counted, if the quota is used up."""
        if self.quota.streams and self._streams >= self.quota.streams:
            return False
        self._streams += 1
        return True

    def close_stream(self) -> None:
        """Count one stream less."""
        self._streams -= 1

    def take(self, items: int) -> int:
        """Take items from the bucket, as many as it has; gives how many it took."""
        if not self.quota.items_per_second:
            return items
        self._fill()
        granted = min(items, int(self._level))
        self._level -= granted
        return granted

    def exhausted(self) -> str:
        """Give the message for a caller whose quota is used up."""
        return (
            f"the token's limit of {self.quota.items_per_second} items a second is reached: "
            "send the items later"
        )

    def retry_after_ms(self, items: int = 1) -> int:
        """Give the time until the bucket has so many items, or is full."""
        rate = self.quota.items_per_second
        if not rate:
            return 0
        self._fill()
        missing = min(items, self._most()) - self._level
        return max(1, math.ceil(missing / rate * 1000))

    def _most(self) -> float:
        return self.quota.items_per_second * BURST_SECONDS

    def _fill(self) -> None:
        now = self._clock()
        self._level = min(
            self._most(), self._level + (now - self._filled) * self.quota.items_per_second
        )
        self._filled = now
