"""Runs the engines: takes batches off the queue of all networks, computes them, and answers their blocks.

When the engines are idle, a batch starts after the event loop has handled all messages of this turn. While
an engine works in a thread, the queue grows, and so does the next batch. Only in a busy process does a batch
wait a moment for more blocks (`linger.py`).
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

from inkstream_server.batching.admission import Admission, Overloaded
from inkstream_server.batching.blocks import Block, Part, StreamFlow, frames_of
from inkstream_server.batching.fair_queue import FairQueue, Priority
from inkstream_server.batching.linger import BusyMeter, Linger
from inkstream_server.batching.observer import Observer
from inkstream_server.batching.results import (
    Batch,
    DeadlineExpired,
    Network,
    Share,
    checked_batch,
    failure_of,
)
from inkstream_server.engines import Frames

TURN_SECONDS = 0.002
"""How long batches follow one another before the event loop reads streams again. If it read them after every
batch, a thousand busy streams would fill the queue faster than it empties."""


class Dispatcher:
    """One queue and one thread for the engines of all networks of a process. Its batchers share it.

    One engine works at a time, and each batch is of one network, so that the classes and turns of the queue
    hold across networks. Use it from one event loop.
    """

    def __init__(
        self,
        observers: Sequence[Observer],
        *,
        max_batch: int,
        max_queue: int,
        linger: float = 0.0,
        is_busy: Callable[[], bool] | None = None,
    ) -> None:
        """Prepare; nothing runs until something is submitted.

        Args:
            observers: watch all frames.
            max_batch: most frames in a batch; lowered to what an engine takes.
            max_queue: how many images may wait, or as much work; see `Admission.admit`.
            linger: most seconds that blocks wait for others while the process is busy.
            is_busy: whether the process is busy; None to look at its processor time.
        """
        self.observers = observers
        self.max_batch = max_batch
        self.admission = Admission(max_queue)
        self.queue: FairQueue[Block] = FairQueue()
        """What waits."""
        self.linger = Linger(
            linger, is_busy or BusyMeter().is_busy, lambda: self.queue.rows, self._dispatch
        )
        self._is_swept = False
        # When the last batch was taken off the queue, and its work if more waited.
        self._now = 0.0
        self._emptied: tuple[float, int] | None = None
        self._scheduled = False
        self.working_on: asyncio.Task[None] | None = None
        """The batch in the engines' thread, another object for each; None while it is idle."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")

    def admit(
        self,
        flow: StreamFlow,
        priority: Priority,
        rows: int,
        row_ns: int,
        deadline: float | None,
        now: float,
    ) -> None:
        """Admit a block to the queue, or raise `Overloaded`; see `Admission.admit`."""
        try:
            self.admission.admit(self.queue, flow, priority, rows, row_ns, deadline, now)
        except Overloaded:
            if self._is_swept:
                raise
            # Cancelled blocks must not cause a rejection. Once between two batches is enough.
            self._is_swept = True
            self.queue.sweep(lambda block: block.answer.done())
            self.admission.admit(self.queue, flow, priority, rows, row_ns, deadline, now)

    def schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the next batch start in the next turn of the loop, or when the thread is free."""
        if not self._scheduled and self.working_on is None:
            self._scheduled = True
            loop.call_soon(self._dispatch, perf_counter())

    def await_more(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the next batch start when no further blocks come; see `Linger`."""
        if not self._scheduled and self.working_on is None:
            self.linger.begin(loop)

    def compute(self, network: Network, parts: list[Part], rows: int, frames: list[Frames]) -> None:
        """Run a batch in place, and answer its blocks."""
        started = perf_counter()
        try:
            batch = checked_batch(network, network.engine.infer(frames), rows, started)
        # An engine is foreign code: what it raises answers this batch, and must not end the loop.
        except Exception as error:  # noqa: BLE001
            self._fail(parts, error, started)
        else:
            self._answer(parts, batch)

    async def close(self) -> None:
        """Wait until everything that was accepted is answered, then release the engines' thread."""
        while self.queue.rows or self.working_on is not None:
            if self.working_on is not None:
                await asyncio.wait([self.working_on])
            else:
                self._dispatch(perf_counter())
                await asyncio.sleep(0)
        self._thread.shutdown()

    def _dispatch(self, expected: float) -> None:
        """Run batches in place for a while, or start one in the engines' thread.

        Args:
            expected: when the loop should have called this, on the clock of `time.perf_counter`.
        """
        self._scheduled = False
        self.linger.end()
        if self.working_on is not None:
            return
        began = now = perf_counter()
        self.admission.came_round(began - expected)
        loop = asyncio.get_running_loop()
        while parts := self._take(now):
            rows = sum(stop - start for _, start, stop in parts)
            frames = frames_of(parts, rows)
            network = parts[0][0].network
            if rows > network.engine.in_place_rows:
                self.working_on = loop.create_task(
                    self._run_in_thread(network, parts, rows, frames)
                )
                self.working_on.add_done_callback(self._thread_is_free)
                return
            self.compute(network, parts, rows, frames)
            if not self.queue.rows:
                return
            now = perf_counter()
            if now - began >= TURN_SECONDS:
                # The loop reads streams before it goes on.
                self.schedule(loop)
                return

    async def _run_in_thread(
        self, network: Network, parts: list[Part], rows: int, frames: list[Frames]
    ) -> None:
        started = perf_counter()
        loop = asyncio.get_running_loop()
        try:
            inferred = await loop.run_in_executor(self._thread, network.engine.infer, frames)
            batch = checked_batch(network, inferred, rows, started)
        except Exception as error:  # noqa: BLE001 (as in compute)
            self._fail(parts, error, started)
        else:
            self._answer(parts, batch)

    def _thread_is_free(self, task: asyncio.Task[None]) -> None:
        self.working_on = None
        if not task.cancelled():
            task.result()
        if self.queue.rows:
            self.schedule(task.get_loop())

    def _take(self, now: float) -> list[Part]:
        """Take the next batch off the queue, and note how fast it empties."""
        if self._emptied is not None:
            since, work = self._emptied
            self.admission.emptied(work, now - since)
            self._emptied = None
        self._now = now
        self._is_swept = False
        parts = self.queue.take(self.max_batch, self._is_over)
        if self.queue.rows:
            self._emptied = now, sum((stop - start) * block.row_ns for block, start, stop in parts)
        return parts

    def _is_over(self, block: Block) -> bool:
        """Whether a block need not be computed; answers it if it has expired."""
        if block.answer.done():
            return True
        if block.deadline is None or block.deadline > self._now:
            return False
        late_ms = (self._now - block.deadline) * 1000
        block.answer.set_exception(
            DeadlineExpired(f"the deadline passed {late_ms:.1f} ms before its turn came")
        )
        return True

    def _answer(self, parts: list[Part], batch: Batch) -> None:
        for observer in self.observers:
            observer.computed(batch, parts)
        row = 0
        for block, start, stop in parts:
            block.shares.append(Share(batch, row, row + stop - start))
            row += stop - start
            if stop == block.rows and not block.answer.done():
                block.answer.set_result(block.shares)

    def _fail(self, parts: list[Part], cause: BaseException, started: float) -> None:
        for observer in self.observers:
            observer.failed(cause, parts, started)
        for block, _, _ in parts:
            if not block.answer.done():
                block.answer.set_exception(failure_of(cause))
