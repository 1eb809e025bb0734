"""Keeps numbered messages for a page, so that none is lost when its stream breaks."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

_KEPT = 256
"""Number of kept messages; a page that is away for long loses the oldest."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message for a page."""

    number: int
    """Counts up from 1."""
    kind: str
    body: dict[str, Any]


class Mailbox:
    """Messages for one page. Any thread may put; only the newest reader may read."""

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
        """End the current reader."""
        self.begin()

    def begin(self) -> int:
        """Begin to read, which ends earlier readers. Gives the reader's number."""
        with self._changed:
            self._reader += 1
            self._changed.notify_all()
            return self._reader

    def read(self, reader: int, after: int, seconds: float) -> list[Message] | None:
        """Wait for messages.

        Args:
            reader: from `begin`.
            after: number of the last message that the page has.
            seconds: longest time to wait.

        Returns: the messages after it, maybe none; None if another reader began or the mailbox was closed.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._reader != reader or self._last > after, timeout=seconds
            )
            if self._reader != reader:
                return None
            return [message for message in self._kept if message.number > after]

    def is_left(self, reader: int, seconds: float) -> bool:
        """Wait for another reader or the end; True if neither came."""
        with self._changed:
            return not self._changed.wait_for(lambda: self._reader != reader, timeout=seconds)
