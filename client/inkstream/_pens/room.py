"""Counts in bytes what the pens of a client hold: ink without an answer, and results that nobody has read."""

from __future__ import annotations

import threading
from collections import deque

from inkstream._exceptions import Overloaded
from inkstream.ink import InvalidInk

BYTES_PER_POINT = 256
"""Bytes that pens may hold for each point of `ink_buffer`: a stroke of 8 points takes 1 to 3 kB."""
LEAST_BYTES = 1 << 20
"""Bytes that they may hold however small `ink_buffer` is."""
PEN_BYTES = 3_500
"""Most bytes of a pen, less those of its opening (3,306 measured)."""


class InkRoom:
    """What the pens of one client may hold. Changed under the outbox's lock, but for results."""

    def __init__(self, most_points: int) -> None:
        """Start empty.

        Args:
            most_points: points that may wait to be sent.
        """
        self.most_points = most_points
        self.most_bytes = max(LEAST_BYTES, BYTES_PER_POINT * most_points)
        self.points = 0
        """Points that wait to be sent."""
        self.ink = 0
        """Bytes of strokes that wait to be sent or for an answer."""
        self.pens = 0
        """Bytes of pens."""
        self.results = 0
        """Bytes of results that nobody has read."""
        self.lock = threading.Lock()
        """Guards `results`, and the results themselves."""
        self.dropped: deque[int] = deque()
        """Bytes of results that nobody can read any more. The garbage collector adds to it, at any time and
        in any thread, so adding takes no lock."""

    @property
    def held(self) -> int:
        """Bytes that pens hold."""
        if self.dropped:
            with self.lock:
                while self.dropped:
                    self.results -= self.dropped.popleft()
        return self.ink + self.pens + self.results

    def require(self, size: int, points: int = 0) -> None:
        """Check that there is room for more.

        Args:
            size: bytes.
            points: points that will wait to be sent.

        Raises:
            InvalidInk: these are more points than may wait at all.
            Overloaded: there is no room.
        """
        if points > self.most_points:
            raise InvalidInk(
                f"points: expected at most {self.most_points} at once (ink_buffer), got {points}; "
                "write the stroke in pieces with down, points and up, or raise ink_buffer"
            )
        if self.points + points > self.most_points:
            raise Overloaded(
                f"{self.points} points wait to be sent, and with {points} more they would exceed "
                f"ink_buffer ({self.most_points}): the server does not keep up; write more slowly, or "
                "raise ink_buffer"
            )
        if self.dropped or self.ink + self.pens + self.results + size > self.most_bytes:
            self._require_bytes(size)

    def _require_bytes(self, size: int) -> None:
        if self.held + size > self.most_bytes:
            raise self._full(size)

    def _full(self, size: int) -> Overloaded:
        largest = max(
            (self.ink, "ink has no final answer", "the server does not keep up; write more slowly"),
            (self.pens, "pens are open", "close pens that write no more"),
            (self.results, "results wait to be read", "iterate over each pen, or use on_result"),
        )
        _, what, fix = largest
        return Overloaded(
            f"pens hold {self.held:,} bytes, and {size:,} more would exceed the {self.most_bytes:,} of "
            f"ink_buffer ({self.most_points} points); most of it is held because {what}: {fix}, or raise "
            "ink_buffer"
        )
