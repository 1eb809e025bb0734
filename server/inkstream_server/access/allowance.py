"""How much one token may use: streams that are open, and items a second. Knows no tokens and no gRPC."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

BURST_SECONDS = 1.0
"""What a bucket holds, in seconds of its rate: a caller who rested may send that much at once."""


@dataclass(frozen=True, slots=True)
class Quota:
    """Limits of one token; 0 stands for none of its own."""

    streams: int = 0
    """Streams open at once."""
    items_per_second: int = 0
    """Frames and strokes a second, on all its streams and calls together."""


class Allowance:
    """What is left of a quota. Belongs to one event loop."""

    def __init__(self, quota: Quota = Quota(), clock: Callable[[], float] = monotonic) -> None:
        """Start with nothing used.

        Args:
            quota: the limits.
            clock: seconds that pass.
        """
        self._clock = clock
        self._streams = 0
        self._level = 0.0
        self._filled = clock()
        self.quota = quota
        self._level = self._most()

    @property
    def streams(self) -> int:
        """Streams that are open."""
        return self._streams

    def change(self, quota: Quota) -> None:
        """Set other limits. Streams beyond a lower one stay open; what the bucket holds is cut to fit."""
        self._fill()
        self.quota = quota
        self._level = min(self._level, self._most())

    def open_stream(self) -> bool:
        """Count one more stream; False where the quota has none left, and nothing is counted."""
        if self.quota.streams and self._streams >= self.quota.streams:
            return False
        self._streams += 1
        return True

    def close_stream(self) -> None:
        """A stream that was counted is over."""
        self._streams -= 1

    def take(self, items: int) -> int:
        """Use up items, as many as there are; give how many that were."""
        if not self.quota.items_per_second:
            return items
        self._fill()
        granted = min(items, int(self._level))
        self._level -= granted
        return granted

    def exhausted(self) -> str:
        """Say that there is nothing left, for people."""
        return (
            f"the token's limit of {self.quota.items_per_second} items a second is reached: "
            "send it later"
        )

    def retry_after_ms(self, items: int = 1) -> int:
        """Tell when so many items, at most a full bucket, will be there."""
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
