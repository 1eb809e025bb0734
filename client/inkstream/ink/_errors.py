"""What can be wrong with ink."""

from __future__ import annotations

from inkstream._exceptions import InputError


class InvalidInk(InputError, ValueError):
    """Ink, or a file of ink, cannot be taken as it is; the message says where and why.

    Attributes:
        source: the file's name, "" for ink that comes from no file.
        line: its line, from 1; 0 where the whole file is meant.
        reason: what is wrong, and what is wanted.
    """

    def __init__(self, reason: str, source: str = "", line: int = 0) -> None:
        place = ":".join(filter(None, (source, str(line or ""))))
        super().__init__(f"{place}: {reason}" if place else reason)
        self.reason, self.source, self.line = reason, source, line
