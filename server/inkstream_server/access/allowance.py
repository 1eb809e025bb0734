"""The quota of one caller: streams, and items, events and points a second. Knows neither tokens nor gRPC."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

BURST_SECONDS = 1.0
"""Size of the bucket of items, in seconds of its rate: the largest burst after a pause."""

INK_BURST_SECONDS = 5.0
"""The same of events and points: a client that reconnects sends its open digits again, each of 4,096 points
at most."""

EVENTS_PER_ITEM, POINTS_PER_ITEM = 200, 1000
"""Events and points that a token may send for each item, unless its line says otherwise. The longest stroke
of UNIPEN has 704 points, the mean 42; a pen sends 50 to 240 events a second."""

LEAST_EVENTS, LEAST_POINTS = 500, 1000
"""Events and points a second that a token may send at least: one writer with the fastest pen, which gives 240
points a second, each in an event of its own."""


@dataclass(frozen=True, slots=True)
class Quota:
    """Limits of one token; 0 stands for no limit."""

    streams: int = 0
    """Most streams that are open at once."""
    items_per_second: int = 0
    """Most frames and strokes a second, in all streams and calls together."""
    events_per_second: int = 0
    """Most events of pens a second; 0 derives it from the items."""
    points_per_second: int = 0
    """Most points of ink a second; 0 derives it from the items."""

    @property
    def events(self) -> int:
        """Most events a second, given or derived; 0 for no limit."""
        items = self.items_per_second
        return self.events_per_second or (items and max(LEAST_EVENTS, EVENTS_PER_ITEM * items))

    @property
    def points(self) -> int:
        """Most points a second, given or derived; 0 for no limit."""
        items = self.items_per_second
        return self.points_per_second or (items and max(LEAST_POINTS, POINTS_PER_ITEM * items))


class Bucket:
    """A token bucket. It may be overdrawn: what must be taken is counted, and paid back later."""

    def __init__(self, rate: int, seconds: float, clock: Callable[[], float]) -> None:
        """Start full.

        Args:
            rate: how many a second; 0 for any number.
            seconds: its size, in seconds of the rate.
            clock: gives the time in seconds.
        """
        self.rate = rate
        self._seconds = seconds
        self._clock = clock
        self._filled = clock()
        self._level = self._most()

    def change(self, rate: int) -> None:
        """Set another rate; the level is cut to the new size."""
        self._fill()
        self.rate = rate
        self._level = min(self._level, self._most())

    def take(self, count: int) -> int:
        """Take as many as there are; gives how many it took."""
        if not self.rate:
            return count
        self._fill()
        granted = max(0, min(count, int(self._level)))
        self._level -= granted
        return granted

    def spend(self, count: int) -> None:
        """Take all of them, overdrawing the bucket if need be."""
        if self.rate:
            self._fill()
            self._level -= count

    @property
    def is_overdrawn(self) -> bool:
        """Whether more was spent than there was."""
        return self._level < 0 and self.seconds_until(0) > 0

    def seconds_until(self, count: int) -> float:
        """Give the time until it has so many, or is full."""
        if not self.rate:
            return 0.0
        self._fill()
        return max(0.0, (min(count, self._most()) - self._level) / self.rate)

    def _most(self) -> float:
        return self.rate * self._seconds

    def _fill(self) -> None:
        now = self._clock()
        self._level = min(self._most(), self._level + (now - self._filled) * self.rate)
        self._filled = now


class Allowance:
    """The rest of a quota. Use it in one event loop."""

    def __init__(self, quota: Quota = Quota(), clock: Callable[[], float] = monotonic) -> None:
        """Start with nothing used.

        Args:
            quota: the limits.
            clock: gives the time in seconds.
        """
        self._streams = 0
        self.quota = quota
        self._items = Bucket(quota.items_per_second, BURST_SECONDS, clock)
        self._events = Bucket(quota.events, INK_BURST_SECONDS, clock)
        self._points = Bucket(quota.points, INK_BURST_SECONDS, clock)

    @property
    def streams(self) -> int:
        """Number of open streams."""
        return self._streams

    def change(self, quota: Quota) -> None:
        """Set other limits. Streams beyond the new limit stay open; buckets are cut to their new sizes."""
        self.quota = quota
        self._items.change(quota.items_per_second)
        self._events.change(quota.events)
        self._points.change(quota.points)

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
        return self._items.take(items)

    def exhausted(self) -> str:
        """Give the message for a caller whose items are used up."""
        return (
            f"the token's limit of {self.quota.items_per_second} items a second is reached: "
            "send the items later"
        )

    def retry_after_ms(self, items: int = 1) -> int:
        """Give the time until the bucket has so many items, or is full."""
        return _milliseconds(self._items, items)

    def spend_ink(self, events: int, points: int) -> None:
        """Count events and points, whether or not the quota has so many."""
        self._events.spend(events)
        if points:
            self._points.spend(points)

    def overdrawn(self) -> tuple[str, int] | None:
        """Give the message and the retry-after in milliseconds if more ink was sent than the quota has."""
        for bucket, what in ((self._events, "events"), (self._points, "points")):
            if bucket.is_overdrawn:
                return (
                    f"the token's limit of {bucket.rate} {what} a second is reached: write later, or have "
                    f"{what}_per_second of the token raised",
                    _milliseconds(bucket, 0),
                )
        return None

    def refusal(self, items: int) -> tuple[str, int] | None:
        """Take items of ink; give the message and the retry-after in milliseconds if the quota lacks any."""
        over = self.overdrawn()
        if over is None and self._items.take(items) < items:
            over = self.exhausted(), self.retry_after_ms()
        return over

    def seconds_until_ink(self) -> float:
        """Give the time until the quota is no longer overdrawn."""
        return max(self._events.seconds_until(0), self._points.seconds_until(0))


def _milliseconds(bucket: Bucket, count: int) -> int:
    return max(1, math.ceil(bucket.seconds_until(count) * 1000)) if bucket.rate else 0
