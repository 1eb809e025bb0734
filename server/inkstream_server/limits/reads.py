"""Bounds how many messages are on their way at once, because each may grow to the greatest size."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Reads:
    """The messages that are being read. Use it in one event loop."""

    def __init__(self, most: int) -> None:
        """Start with none.

        Args:
            most: messages on their way at once; 1 or more.
        """
        self._most = most
        self._ends: dict[str, dict[object, Callable[[], None]]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @contextmanager
    def reading(self, connection: str, end: Callable[[], None]) -> Iterator[None]:
        """Count one message as on its way while the block runs.

        If there are too many, the oldest one of the connection that has the most is ended. So a connection
        with few messages keeps them whatever others do.

        Args:
            connection: names the connection.
            end: ends this one.
        """
        if self._count >= self._most:
            self._end_one()
        read = object()
        self._ends.setdefault(connection, {})[read] = end
        self._count += 1
        try:
            yield
        finally:
            self._forget(connection, read)

    def _end_one(self) -> None:
        connection = max(self._ends, key=lambda it: len(self._ends[it]))
        read, end = next(iter(self._ends[connection].items()))
        self._forget(connection, read)
        end()

    def _forget(self, connection: str, read: object) -> None:
        """Count a message no longer; nothing happens if it was ended before."""
        reads = self._ends.get(connection, {})
        if reads.pop(read, None) is not None:
            self._count -= 1
            if not reads:
                del self._ends[connection]
