"""Keeps a process within its memory: refuses new holders, and ends the largest, when it takes too much.

Looks at the book and at what the process really takes: what gRPC holds, such as messages that have not come
whole and answers that wait for their reader, is in no book.
"""

import asyncio
import ctypes
import os
from collections import Counter
from collections.abc import Callable
from math import inf
from pathlib import Path
from time import monotonic
from typing import Final

from inkstream_server import logs
from inkstream_server.limits.memory_book import Account, MemoryBook

LOOK_SECONDS: Final = 0.05
"""Time between two looks. One costs some 30 microseconds; callers bring 20 MB in that time."""

HASTE: Final = 1.1
"""Part of the limit from which on holders are ended before free memory is given back, which takes time."""

LEAST_BYTES: Final = 256 * 1024
"""Holders of less are not ended for what they hold: an idle stream holds some kB."""

TRIM_SECONDS: Final = 10.0
"""Time between two times that free memory is given back to the system while there is no shortage."""

TRIM_BYTES: Final = 32 * 2**20
"""Memory beyond the book's, and beyond what the process took at its smallest, from which on that is done."""

RELIEF_SECONDS: Final = 2.0
"""How long the memory of calls that were ended may take to come back, before others are ended by a guess."""

REASON: Final = "the server is short of memory and ends the largest streams: open another later"
"""The reason as a sentence for the caller."""

REFUSED: Final = "the server is short of memory: try again later"
"""Why a new stream or call is refused."""


class MemoryWatch:
    """Looks after the memory of one process, in its event loop."""

    def __init__(
        self,
        book: MemoryBook,
        resident: Callable[[], int],
        trim: Callable[[], object],
        message: int,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Prepare.

        Args:
            book: says who holds what.
            resident: gives the bytes that the process takes; 0 where that is unknown.
            trim: gives free memory back to the system; called in a thread.
            message: most bytes of a message, which gRPC holds until it has come whole.
            clock: gives the time in seconds.
        """
        self._book = book
        self._resident = resident
        self._trim = trim
        self._clock = clock
        self._message = message
        # When calls were last ended by a guess, and how many.
        self._guessed = -inf, 0
        self.ended = 0
        """Holders that were ended."""

    async def run(self) -> None:
        """Look until cancelled."""
        least, trimmed_at = self._resident(), self._clock()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            taken = self._taken()
            least = min(least, taken)
            is_over = taken > self._book.process.limit
            self._book.is_short = is_over
            unused = taken - least - self._book.process.held
            if is_over and taken > HASTE * self._book.process.limit:
                self.relieve()
            if is_over or (unused > TRIM_BYTES and self._clock() - trimmed_at > TRIM_SECONDS):
                await asyncio.to_thread(self._trim)
                trimmed_at = self._clock()
            if is_over:
                self.relieve()

    def relieve(self) -> None:
        """End as many holders as bring the process within its limit, those that hold most first."""
        excess = self._taken() - self._book.process.limit
        if excess <= 0:
            self._book.is_short = False
            return
        chosen: list[Account] = []
        for account in sorted(self._book.holders, key=lambda it: it.held, reverse=True):
            if excess <= 0 or account.held < LEAST_BYTES:
                break
            if account.end is not None:
                chosen.append(account)
                excess -= account.held
        if excess > self._coming_back():
            # Then gRPC holds the rest for calls that bring or read their messages in part. Which ones cannot
            # be seen; most likely those of the connection that has most calls.
            busiest = self._busiest()
            self._guessed = self._clock(), len(busiest)
            chosen += busiest
        if not chosen:
            return
        for account in chosen:
            if account.end is not None:
                account.end(REASON)
                account.end = None
        self.ended += len(chosen)
        logs.get().warning(
            "memory_short",
            taken=self._taken(),
            limit=self._book.process.limit,
            held=self._book.process.held,
            ended=len(chosen),
        )

    def _coming_back(self) -> int:
        """Give the most bytes that calls which were ended by a guess may still give back."""
        at, calls = self._guessed
        return calls * self._message if self._clock() - at < RELIEF_SECONDS else 0

    def _busiest(self) -> list[Account]:
        calls = Counter(account.parent for account in self._book.holders if account.end)
        if not calls:
            return []
        ((connection, _),) = calls.most_common(1)
        return [it for it in self._book.holders if it.parent is connection and it.end]

    def _taken(self) -> int:
        return max(self._resident(), self._book.process.held)


def resident() -> int:
    """Give the bytes of memory that this process takes; 0 where the system does not tell."""
    try:
        pages = Path("/proc/self/statm").read_bytes().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def trim_function() -> Callable[[], object]:
    """Give the C library's function that returns free memory to the system; glibc has one."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return lambda: None
    return lambda: trim(0)
