"""Limits how many lines of one kind are logged, and counts the others."""

from collections.abc import Iterator
from typing import Final

WINDOW_SECONDS: Final = 10.0
"""How long lines of a kind are counted, from its first one."""

MOST_LINES: Final = 20
"""Lines of a kind that are logged in a window."""

MOST_DEBUG_LINES: Final = 1000
"""The same at `debug`, which logs two lines a stream."""

MOST_KINDS: Final = 256
"""Kinds that are counted apart; all further ones are one kind. The code has fewer."""

NEVER_OMITTED: Final = frozenset(
    {
        "certificates kept",
        "certificates renewed",
        "crashed",
        "drain",
        "drain_overdue",
        "log_level",
        "log_lines_lost",
        "log_lines_omitted",
        "model_refused",
        "model_swapped",
        "not encrypted",
        "port_lost",
        "ready",
        "stopped",
        "tokens kept",
        "tokens read",
        "unknown_variable",
        "watcher_died",
        "worker_died",
        "worker_serves",
    }
)
"""Events about the server itself: no caller can cause them, and operators need each one."""

_OTHERS: Final = "other kinds"


class Kinds:
    """The lines of each kind in its window. Not for several threads at once."""

    def __init__(self) -> None:
        """Begin with no kinds."""
        self._windows: dict[str, _Window] = {}

    def __len__(self) -> int:
        """Number of kinds that are counted."""
        return len(self._windows)

    def admit(self, kind: str, now: float, most: int = MOST_LINES) -> bool:
        """Count a line, and say whether to log it.

        Args:
            kind: what the line is an example of; nothing that a caller can vary.
            now: seconds on a clock that never goes back.
            most: lines of this kind that are logged in a window.
        """
        if kind not in self._windows and len(self._windows) >= MOST_KINDS:
            self._forget(now)
            if len(self._windows) >= MOST_KINDS:
                kind = _OTHERS
        window = self._windows.get(kind)
        if window is None or (window.end <= now and not window.omitted):
            window = self._windows[kind] = _Window(now + WINDOW_SECONDS)
        window.lines += 1
        if window.lines <= most:
            return True
        window.omitted += 1
        return False

    def closed(self, now: float) -> Iterator[tuple[str, int]]:
        """Give each kind of which lines were omitted in a window that is over, and their number, once."""
        for kind, window in [*self._windows.items()]:
            if window.end <= now and window.omitted:
                self._windows.pop(kind, None)
                yield kind, window.omitted

    def next_end(self) -> float | None:
        """Give when the next window with omitted lines ends; None if there is none."""
        return min((it.end for it in [*self._windows.values()] if it.omitted), default=None)

    def _forget(self, now: float) -> None:
        """Drop the windows that are over and have nothing to report."""
        self._windows = {
            kind: window
            for kind, window in [*self._windows.items()]
            if window.end > now or window.omitted
        }


class _Window:
    __slots__ = ("end", "lines", "omitted")

    def __init__(self, end: float) -> None:
        self.end = end
        self.lines = 0
        self.omitted = 0
