"""What waits for one page: messages by number, kept for a while, so that a stream that breaks loses none."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

_KEPT = 256
"""Messages; a page that is away for some seconds misses a few."""


@dataclass(frozen=True, slots=True)
class Message:
    """Something that a page is told."""

    number: int
    """From 1, rising."""
    kind: str
    body: dict[str, Any]


class Mailbox:
    """Messages for one page. Any thread puts; one reader at a time reads, the one that came last."""

    def __init__(self) -> None:
        self._kept: deque[Message] = deque(maxlen=_KEPT)
        self._last = 0
        self._reader = 0
        self._changed = threading.Condition()

    def put(self, kind: str, body: dict[str, Any]) -> None:
        """Add a message. Does not wait for readers."""
        with self._changed:
            self._last += 1
            self._kept.append(Message(self._last, kind, body))
            self._changed.notify_all()

    def close(self) -> None:
        """End whoever reads."""
        self.begin()

    def begin(self) -> int:
        """Begin to read; ends all who read before. Gives the reader's number."""
        with self._changed:
            self._reader += 1
            self._changed.notify_all()
            return self._reader

    def read(self, reader: int, after: int, seconds: float) -> list[Message] | None:
        """Wait for messages.

        Args:
            reader: from `begin`.
            after: number of the last message that is known.
            seconds: how long to wait at most.

        Returns: those after it, none where none came; None where another reader has begun or it was closed.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._reader != reader or self._last > after, timeout=seconds
            )
            if self._reader != reader:
                return None
            return [message for message in self._kept if message.number > after]

    def is_left(self, reader: int, seconds: float) -> bool:
        """Wait for another reader, or the end; tells whether neither came."""
        with self._changed:
            return not self._changed.wait_for(lambda: self._reader != reader, timeout=seconds)
