"""Waits for the answers to images: for a fixed number, for one as a future, or for a stream in order.

Both clients use it: what differs between threads and tasks is passed in as a callable.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from inkstream._exceptions import InkstreamError
from inkstream._fork import inherited
from inkstream._results.images import Answers, Result


class Collector:
    """Waits for a fixed number of answers, then calls `done` once."""

    __slots__ = ("_done", "_errors", "_missing", "_results", "is_abandoned")

    def __init__(self, count: int, done: Callable[[], None]) -> None:
        self._results: list[Result | None] = [None] * count
        self._errors: dict[int, InkstreamError] = {}
        self._missing = count
        self._done = done
        self.is_abandoned = False

    def deliver(self, position: int, answers: Answers, start: int, stop: int) -> None:
        """See `Waiter`."""
        self._results[position : position + stop - start] = answers.rows(start, stop)
        self._count_down(stop - start)

    def fail(self, position: int, count: int, error: InkstreamError) -> None:
        """See `Waiter`."""
        self._errors[position] = error
        self._count_down(count)

    def outcome(self) -> list[Result]:
        """Give the results in order, after `done` was called.

        Raises:
            InkstreamError: the error of the first image that has no result.
        """
        if self._errors:
            raise self._errors[min(self._errors)]
        return [result for result in self._results if result is not None]

    def _count_down(self, count: int) -> None:
        self._missing -= count
        if not self._missing:
            self._done()


class ThreadFuture(concurrent.futures.Future[Result]):
    """In a forked child it raises unless it was done before the fork: the parent gets its answer."""

    def __init__(self) -> None:
        super().__init__()
        self._pid = os.getpid()

    def result(self, timeout: float | None = None) -> Result:
        self._require_answer()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._require_answer()
        return super().exception(timeout)

    def _require_answer(self) -> None:
        if os.getpid() != self._pid:
            # Another thread may have held the lock.
            self._condition = threading.Condition()
            if not self.done():
                raise inherited()


class OneAnswer:
    """Waits for one answer and sets it in a future, unless the caller cancelled that."""

    __slots__ = ("_future", "_takes_answer")

    def __init__(
        self, future: ThreadFuture | asyncio.Future[Result], takes_answer: Callable[[], bool]
    ) -> None:
        """`takes_answer` says whether the future is still to be set; it is called just before."""
        self._future = future
        self._takes_answer = takes_answer

    @property
    def is_abandoned(self) -> bool:
        """Whether the caller cancelled the future."""
        return self._future.cancelled()

    def deliver(self, position: int, answers: Answers, start: int, stop: int) -> None:
        """See `Waiter`."""
        if self._takes_answer():
            self._future.set_result(answers.rows(start, stop)[0])

    def fail(self, position: int, count: int, error: InkstreamError) -> None:
        """See `Waiter`."""
        if self._takes_answer():
            self._future.set_exception(error)


@dataclass(frozen=True, slots=True)
class Rows:
    """Results of neighbouring images, still as columns."""

    answers: Answers
    start: int
    stop: int

    @property
    def count(self) -> int:
        """Number of results."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Failed:
    """Neighbouring images that have no result, for one reason."""

    count: int
    error: InkstreamError


@dataclass(frozen=True, slots=True)
class End:
    """The end of the stream."""

    count: int
    error: BaseException | None
    """The error that the caller's iterable raised; None if it ended."""


Piece: TypeAlias = Rows | Failed | End


class OrderedResults:
    """Waits for any number of answers and emits them as pieces, in order of position.

    Servers answer in order, but the client fails invalid images at once.
    """

    __slots__ = ("_early", "_emit", "_lock", "_next", "is_abandoned")

    def __init__(self, emit: Callable[[Piece], None]) -> None:
        self._emit = emit
        self._lock = threading.Lock()
        self._next = 0
        self._early: dict[int, Piece] = {}
        self.is_abandoned = False

    def deliver(self, position: int, answers: Answers, start: int, stop: int) -> None:
        """See `Waiter`."""
        self._put(position, Rows(answers, start, stop))

    def fail(self, position: int, count: int, error: InkstreamError) -> None:
        """See `Waiter`."""
        self._put(position, Failed(count, error))

    def end(self, position: int, error: BaseException | None) -> None:
        """End the stream after `position` images."""
        self._put(position, End(0, error))

    def _put(self, position: int, piece: Piece) -> None:
        with self._lock:
            self._early[position] = piece
            while (following := self._early.pop(self._next, None)) is not None:
                self._next += following.count
                self._emit(following)
