"""The error for ink that cannot be used."""

from __future__ import annotations

from inkstream._exceptions import InputError


class InvalidInk(InputError, ValueError):
    """Ink, or a file of ink, is malformed; the message says where and why.

    Attributes:
        source: the file's name; "" if the ink comes from no file.
        line: its line, from 1; 0 for the whole file.
        reason: what is wrong, and what is expected.
    """

    def __init__(self, reason: str, source: str = "", line: int = 0) -> None:
        place = ":".join(filter(None, (source, str(line or ""))))
        super().__init__(f"{place}: {reason}" if place else reason)
        self.reason, self.source, self.line = reason, source, line
