"""The table of a run: the fault, the promise and the result."""

from __future__ import annotations

from pathlib import Path


class Promises:
    """The rows of a table."""

    def __init__(self, done: str) -> None:
        """Start without rows; `done` is the heading of the first column."""
        self._rows = [(done, "promise", "seen"), ("---",) * 3]

    def kept(self, done: str, promise: str, seen: object) -> None:
        """Add a row for a promise that was kept; call it when the test has checked that."""
        self._rows.append((done, promise, str(seen)))

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"| {' | '.join(row)} |\n" for row in self._rows))
