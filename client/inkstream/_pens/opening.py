"""What opens pens on a stream, kept once for all pens that are alike."""

from __future__ import annotations

from inkstream.v1 import ink_pb2

_QUIET_MS = 600
"""A server's quiet time where a pen chose none; used only to judge the answers of a server that stops."""


class Opening:
    """The message that opens a pen, as bytes: 256 boxes are 9 kB instead of 22."""

    __slots__ = ("content", "is_timed", "pens", "quiet_seconds")

    def __init__(self, content: bytes, message: ink_pb2.PenOpen) -> None:
        self.content = content
        self.is_timed = message.answers.timings
        self.quiet_seconds = (message.quiet_ms or _QUIET_MS) / 1000
        self.pens = 0
        """Pens that it opens."""

    def pack(self, ink: ink_pb2.InkEvents, pen: int) -> None:
        """Append the event that opens a pen to those of a message."""
        ink.events.add(pen=pen).open.MergeFromString(self.content)


class Openings:
    """Those of all pens of a client."""

    def __init__(self) -> None:
        self._used: dict[bytes, Opening] = {}

    def use(self, message: ink_pb2.PenOpen) -> tuple[Opening, int]:
        """Give the opening of another pen, and how many bytes more it takes to keep it."""
        content = message.SerializeToString(deterministic=True)
        opening = self._used.get(content)
        more = 0
        if opening is None:
            opening = self._used[content] = Opening(content, message)
            more = len(content)
        opening.pens += 1
        return opening, more

    def drop(self, opening: Opening) -> int:
        """A pen needs its opening no more; returns the bytes that are free now."""
        opening.pens -= 1
        if opening.pens:
            return 0
        del self._used[opening.content]
        return len(opening.content)
