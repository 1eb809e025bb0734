"""Writes lines to stderr, and drops those that it cannot write: a full disk must not stop the server."""

import os
import sys
from collections.abc import Callable
from typing import TextIO


class Output:
    """A structlog logger."""

    def __init__(self, report: Callable[[int], object]) -> None:
        """Write to `sys.stderr` as it is at each line, until `stream` is set.

        Args:
            report: logs the number of lines that were dropped, once lines can be written again.
        """
        self.stream: TextIO | None = None
        """Where lines go while `sys.stderr` makes events of what is written to it."""
        self._report = report
        self._lost = 0

    def msg(self, line: str) -> None:
        """Write a line. Callable from any thread."""
        stream = self.stream or sys.stderr
        try:
            # One write for a line, because libraries log from their own threads.
            stream.write(f"{line}\n")
            stream.flush()
        except OSError:
            self._lost += 1
            return
        if self._lost:
            lost, self._lost = self._lost, 0
            self._report(lost)

    debug = info = warning = error = exception = critical = msg

    def write_at_once(self, line: str) -> None:
        """Write a line without a lock or a buffer that another thread may hold."""
        os.write((self.stream or sys.stderr).fileno(), f"{line}\n".encode())
