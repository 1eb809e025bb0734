"""Who receives the results of a pen, and those that nobody has read."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from inkstream._exceptions import InkstreamError
from inkstream._pens.room import InkRoom
from inkstream._results.glyphs import GlyphResult, GlyphState

RESULT_BYTES = 800
"""Most bytes of a result with three alternatives (771 measured) or of an error without its text."""


class Reader(Protocol):
    """Receives a pen's results. Called in the thread of the connection; may not raise or block."""

    def deliver(self, item: GlyphResult | InkstreamError) -> None:
        """Take an answer to one digit, or an error: part of the pen's ink, or all of it, gets no answer."""

    def recheck(self) -> None:
        """Check again whether an answer is still to come."""


class Inbox:
    """Results and errors of one pen that nobody has read. Any thread may call it."""

    __slots__ = ("_items", "_room", "_size")

    def __init__(self, room: InkRoom) -> None:
        self._items: deque[GlyphResult | InkstreamError] = deque()
        self._room = room
        self._size = 0

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: GlyphResult | InkstreamError) -> None:
        """Append a result or an error. It replaces an interim of the same digit that nobody has read."""
        with self._room.lock:
            if self._items and _replaces(item, self._items[-1]):
                self._count(-_bytes_of(self._items.pop()))
            self._items.append(item)
            self._count(_bytes_of(item))

    def get(self) -> GlyphResult | InkstreamError:
        """Take the oldest; there must be one."""
        with self._room.lock:
            item = self._items.popleft()
            self._count(-_bytes_of(item))
        return item

    def __del__(self) -> None:
        if self._size:
            self._room.dropped.append(self._size)

    def _count(self, size: int) -> None:
        self._size += size
        self._room.results += size


def _replaces(item: GlyphResult | InkstreamError, before: GlyphResult | InkstreamError) -> bool:
    return (
        isinstance(before, GlyphResult)
        and before.state is GlyphState.INTERIM
        and isinstance(item, GlyphResult)
        and item.glyph == before.glyph
    )


def _bytes_of(item: GlyphResult | InkstreamError) -> int:
    """Bytes that an item holds, at most."""
    if isinstance(item, InkstreamError):
        return RESULT_BYTES + len(str(item))
    return RESULT_BYTES + 40 * len(item.strokes) + 110 * max(0, len(item.alternatives) - 3)
