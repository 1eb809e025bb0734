"""The table of a run: what was done to a server, what it promises then, and what was seen."""

from __future__ import annotations

from pathlib import Path


class Promises:
    """The rows of a table, and where it is written."""

    def __init__(self, done: str) -> None:
        """Start without rows; `done` is what the first column is called."""
        self._rows = [(done, "promise", "seen"), ("---",) * 3]

    def kept(self, done: str, promise: str, seen: object) -> None:
        """Note that a promise was kept, and what was seen; to be called when the test knows it."""
        self._rows.append((done, promise, str(seen)))

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"| {' | '.join(row)} |\n" for row in self._rows))
