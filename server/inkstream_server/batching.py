"""Gathers what all streams bring into batches. Knows arrays and futures; nothing of gRPC, ink or models.

When the engine is idle, a batch starts as soon as the event loop has heard everyone who spoke in this
turn. While the engine works in a thread, the queue grows, and so does the next batch. Only when the
process is busy are blocks kept for a moment, until nobody speaks or the batch is full, so that more come
together: a batch costs little more than a frame, and answers that leave together cost one message.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from time import perf_counter
from typing import Any, Protocol

import numpy as np

from inkstream_server.doubts import doubts_of
from inkstream_server.engines import DIGITS, Engine, Frames, Probabilities
from inkstream_server.rejection import ACCEPT_ALL, RejectRule
from inkstream_server.tempo import Tempo

LOOK_SECONDS = 0.0003
"""How often a batch that waits for company looks whether more comes."""

QUIET_LOOKS = 2
"""Looks in a row that find nothing new, after which a batch has all it will get. One may mean no more than
that the loop was late, and its timers came before its sockets."""

SMALL_ROWS = 8
"""Blocks of fewer frames on average are joined before they are computed: a copy of 784 bytes costs less than
doing each step of a batch once more."""


class QueueFull(Exception):
    """The queue has no room for a block. Trying again later makes sense."""


class DeadlineExpired(Exception):
    """A block's deadline passed before its turn came."""


class EngineFailed(Exception):
    """The engine raised, or gave an array of the wrong shape; `__cause__` tells more."""


@dataclass(eq=False)
class Batch:
    """A batch that was computed, shared by all blocks that had rows in it."""

    label: str
    """What computed it, for example "digits/1"."""
    probabilities: Probabilities
    """float32 of shape (rows, 10)."""
    started: float
    """When the engine began, on the clock of `time.perf_counter`, in seconds."""
    seconds: float
    """How long the engine took."""
    frames: Sequence[Frames] = ()
    """What was computed, in order."""
    rule: RejectRule = ACCEPT_ALL
    """When its model's answers are rejected."""

    @cached_property
    def digits(self) -> list[int]:
        """Most probable digit of every row, found once for all who share the batch."""
        digits: list[int] = self.probabilities.argmax(axis=1).tolist()
        return digits

    @cached_property
    def confidences(self) -> list[float]:
        """Probability of that digit, row by row."""
        confidences: list[float] = self.probabilities.max(axis=1).tolist()
        return confidences

    @cached_property
    def reasons(self) -> list[int] | None:
        """Why its model's answers are rejected, see `RejectRule.reasons`."""
        return self.rule.reasons(self.probabilities)

    @cached_property
    def doubts(self) -> list[int] | None:
        """What does not look like a digit's image, see `doubts_of`."""
        return doubts_of(self.frames)


# Not frozen: a frozen instance takes a microsecond longer to make, and every message makes one.
@dataclass(slots=True)
class Share:
    """The rows of a batch that belong to one block."""

    batch: Batch
    start: int
    stop: int


class Network(Protocol):
    """What computes batches, with all that belongs to it: when a model is swapped, all of it is."""

    @property
    def label(self) -> str:
        """Names it in every `Batch`, for example "digits/1"."""
        ...

    @property
    def engine(self) -> Engine:
        """Computes; called by one thread at a time."""
        ...

    @property
    def rule(self) -> RejectRule:
        """When its answers are rejected."""
        ...


class Observer(Protocol):
    """Watches batches. Called in the event loop, so it must be quick and must not raise."""

    def computed(self, batch: Batch, waits: Sequence[tuple[float, int]]) -> None:
        """Note a batch: for each block in it the seconds it waited and the rows it had."""
        ...

    def failed(self, error: BaseException, rows: int) -> None:
        """Note a batch that the engine did not compute."""
        ...


@dataclass(slots=True, eq=False)
class _Block:
    """Frames that came together, and how far they are."""

    frames: Frames
    deadline: float | None
    arrived: float
    answer: asyncio.Future[list[Share]]
    shares: list[Share]
    taken: int = 0

    @property
    def rows_left(self) -> int:
        return len(self.frames) - self.taken


class Batcher:
    """One queue and one engine, for all streams of a process.

    Every block that was accepted is answered exactly once: with its shares, or with one of this module's
    exceptions; a block whose future was cancelled is dropped before it costs anything. To be used from
    one event loop.
    """

    def __init__(
        self,
        network: Network,
        observer: Observer,
        *,
        max_batch: int,
        max_queue: int,
        linger: float = 0.0,
        is_busy: Callable[[], bool] | None = None,
    ) -> None:
        """Prepare; nothing runs until something is submitted.

        Args:
            network: computes, until another is served.
            observer: told of every batch.
            max_batch: most frames a batch; lowered to what the engine takes.
            max_queue: most frames that may wait; beyond it blocks are refused.
            linger: most seconds that blocks wait for company while the process is busy.
            is_busy: tells whether the process is; None to look at its processor time.
        """
        self._observer = observer
        self._most_rows = max_batch
        self.serve(network)
        self._max_queue = max_queue
        self._linger = linger
        self._is_busy = is_busy or Tempo().is_busy
        self._timer: asyncio.TimerHandle | None = None
        self._blocks: deque[_Block] = deque()
        self._rows = 0
        self._scheduled = False
        self._working: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")

    def serve(self, network: Network) -> None:
        """Compute with this network from the next batch on; what waits stays, and a batch is never split."""
        self._network = network
        self._max_batch = min(self._most_rows, network.engine.max_rows)

    @property
    def queue_depth(self) -> int:
        """Frames that wait. May be read from any thread."""
        return self._rows

    def submit(
        self, frames: Frames, *, deadline: float | None = None
    ) -> asyncio.Future[list[Share]]:
        """Queue a block.

        Args:
            frames: shape (n, 784), n >= 1, C-contiguous; must not change until answered. A block larger
                than a batch is computed in several.
            deadline: when the answer becomes worthless, on the clock of `time.perf_counter`, in seconds.

        Returns: a future of the block's shares, in the order of its rows. Cancelling it withdraws the
            block and harms no other. It fails with `DeadlineExpired` or `EngineFailed`.

        Raises:
            QueueFull: with this block more than `max_queue` frames would wait.
        """
        if self._rows + len(frames) > self._max_queue:
            self._forget_cancelled()
            if self._rows + len(frames) > self._max_queue:
                raise QueueFull(
                    f"{self._rows} frames wait, {len(frames)} more would exceed the queue's "
                    f"limit of {self._max_queue}"
                )
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Share]] = loop.create_future()
        self._blocks.append(_Block(frames, deadline, perf_counter(), answer, []))
        self._rows += len(frames)
        if self._may_linger(deadline) and self._rows < self._max_batch:
            self._schedule_later(loop)
        else:
            self._schedule(loop)
        return answer

    @property
    def working_on(self) -> object | None:
        """What the engine's thread works on, another object for each batch; None while it is idle."""
        return self._working

    async def close(self) -> None:
        """Wait until everything that was accepted is answered, then release the engine's thread."""
        while self._blocks or self._working is not None:
            if self._working is not None:
                await asyncio.wait([self._working])
            else:
                self._dispatch()
                await asyncio.sleep(0)
        self._thread.shutdown()

    def _may_linger(self, deadline: float | None) -> bool:
        """Tell whether waiting for company is worth its time, and cannot cost a block its deadline."""
        if not self._linger or not self._is_busy():
            return False
        return deadline is None or deadline - perf_counter() > 2 * self._linger

    def _schedule_later(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._scheduled and self._working is None and self._timer is None:
            self._listen(loop, loop.time() + self._linger, 0, 0)

    def _listen(self, loop: asyncio.AbstractEventLoop, end: float, rows: int, quiet: int) -> None:
        """Wait on while blocks keep coming and there is time.

        Args:
            loop: the running one.
            end: when to stop waiting, on the loop's clock.
            rows: what waited at the last look.
            quiet: looks in a row at which nothing new was there.
        """
        quiet = quiet + 1 if rows == self._rows else 0
        if quiet < QUIET_LOOKS and loop.time() < end:
            self._timer = loop.call_later(LOOK_SECONDS, self._listen, loop, end, self._rows, quiet)
        else:
            self._dispatch()

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._scheduled and self._working is None:
            self._scheduled = True
            loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        """Run one batch in place, or start one in the engine's thread."""
        self._scheduled = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._working is not None:
            return
        parts = self._take()
        if not parts:
            return
        loop = asyncio.get_running_loop()
        rows = sum(stop - start for _, start, stop in parts)
        frames = _frames(parts, rows)
        network = self._network
        if rows <= network.engine.in_place_rows:
            started = perf_counter()
            try:
                probabilities = network.engine.infer(frames)
            # An engine is foreign code: whatever it raises is this batch's answer, not the loop's end.
            except Exception as error:  # noqa: BLE001
                self._fail(parts, rows, error)
            else:
                self._answer(network, parts, frames, probabilities, started)
            if self._blocks:
                # The loop hears the streams between two batches.
                self._schedule(loop)
        else:
            self._working = loop.create_task(self._run_in_thread(network, parts, rows, frames))
            self._working.add_done_callback(self._thread_is_free)

    async def _run_in_thread(
        self, network: Network, parts: "list[_Part]", rows: int, frames: list[Frames]
    ) -> None:
        started = perf_counter()
        loop = asyncio.get_running_loop()
        try:
            probabilities = await loop.run_in_executor(self._thread, network.engine.infer, frames)
        except Exception as error:  # noqa: BLE001 (as in _dispatch)
            self._fail(parts, rows, error)
        else:
            self._answer(network, parts, frames, probabilities, started)

    def _thread_is_free(self, task: asyncio.Task[None]) -> None:
        self._working = None
        if not task.cancelled():
            task.result()
        if self._blocks:
            self._schedule(task.get_loop())

    def _take(self) -> "list[_Part]":
        """Take the next batch off the queue: live blocks in order, the last one perhaps in part."""
        parts: list[_Part] = []
        room = self._max_batch
        now = perf_counter()
        while room and self._blocks:
            block = self._blocks[0]
            if not block.answer.done() and block.deadline is not None and block.deadline <= now:
                late_ms = (now - block.deadline) * 1000
                block.answer.set_exception(
                    DeadlineExpired(f"the deadline passed {late_ms:.1f} ms before its turn came")
                )
            if block.answer.done():
                self._rows -= block.rows_left
                self._blocks.popleft()
                continue
            rows = min(room, block.rows_left)
            parts.append((block, block.taken, block.taken + rows))
            block.taken += rows
            room -= rows
            self._rows -= rows
            if not block.rows_left:
                self._blocks.popleft()
        return parts

    def _answer(
        self,
        network: Network,
        parts: "list[_Part]",
        frames: list[Frames],
        probabilities: Probabilities,
        started: float,
    ) -> None:
        rows = sum(map(len, frames))
        # An engine is foreign code: it may give anything, even None.
        shape = getattr(probabilities, "shape", None)
        if shape != (rows, DIGITS):
            wrong = ValueError(f"expected shape ({rows}, {DIGITS}), got {shape}")
            self._fail(parts, rows, wrong)
            return
        # One sum tells of any NaN or infinity, in 2 microseconds.
        if not isfinite(probabilities.sum()):
            self._fail(parts, rows, ValueError("expected probabilities, got NaN or infinity"))
            return
        batch = Batch(
            network.label,
            probabilities,
            started,
            perf_counter() - started,
            frames,
            network.rule,
        )
        self._observer.computed(
            batch, [(started - block.arrived, stop - start) for block, start, stop in parts]
        )
        row = 0
        for block, start, stop in parts:
            block.shares.append(Share(batch, row, row + stop - start))
            row += stop - start
            if stop == len(block.frames) and not block.answer.done():
                block.answer.set_result(block.shares)

    def _fail(self, parts: "list[_Part]", rows: int, cause: BaseException) -> None:
        self._observer.failed(cause, rows)
        for block, _, _ in parts:
            if not block.answer.done():
                failure = EngineFailed(f"the engine failed: {cause}")
                failure.__cause__ = cause
                block.answer.set_exception(failure)

    def _forget_cancelled(self) -> None:
        self._blocks = deque(block for block in self._blocks if not block.answer.done())
        self._rows = sum(block.rows_left for block in self._blocks)


_Part = tuple[_Block, int, int]
"""A block and the first and last-plus-one of its rows that go into a batch."""


def _frames(parts: list[_Part], rows: int) -> list[Frames]:
    """Give the frames of a batch of so many rows, small blocks of one dtype joined."""
    blocks: list[Frames] = [
        block.frames if stop - start == len(block.frames) else block.frames[start:stop]
        for block, start, stop in parts
    ]
    if len(blocks) == 1 or len(blocks) * SMALL_ROWS <= rows or len({b.dtype for b in blocks}) > 1:
        return blocks
    joined: Any = np.concatenate(blocks)
    return [joined]
