"""Gathers what all streams bring into batches. Knows arrays and futures; nothing of gRPC, ink or models.

When the engine is idle, a batch starts as soon as the event loop has heard everyone who spoke in this
turn. While the engine works in a thread, the queue grows, and so does the next batch. Only when the
process is busy are blocks kept for a moment, so that more come together (`linger.py`).
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Protocol

from inkstream_server.batching.admission import Admission, Overloaded
from inkstream_server.batching.blocks import Block, Part, frames_of
from inkstream_server.batching.fair_queue import QUANTUM, FairQueue, Flow, Priority
from inkstream_server.batching.linger import BusyMeter, Linger
from inkstream_server.batching.results import (
    Batch,
    DeadlineExpired,
    Network,
    Share,
    checked_batch,
    failure_of,
)
from inkstream_server.engines import Frames, Probabilities

TURN_SECONDS = 0.002
"""How long batches may follow one another before the loop hears the streams again. Were it to hear them after
every batch, a thousand that all have something to say would fill the queue faster than it is emptied."""

StreamFlow = Flow[Block]
"""What one stream has in the queue."""


class Observer(Protocol):
    """Watches batches. Called in the event loop, so it must be quick and must not raise."""

    def computed(self, batch: Batch, waits: Sequence[tuple[float, int]]) -> None:
        """Note a batch: for each block in it the seconds it waited and the rows it had."""
        ...

    def failed(self, error: BaseException, rows: int) -> None:
        """Note a batch that the engine did not compute."""
        ...


class Batcher:
    """One queue and one engine, for all streams of a process.

    Every block that was accepted is answered exactly once: with its shares, or with `DeadlineExpired` or
    `EngineFailed`; a block whose future was cancelled is dropped before it costs anything. To be used from
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
            max_queue: most frames that may wait; see `Admission.admit`.
            linger: most seconds that blocks wait for company while the process is busy.
            is_busy: tells whether the process is; None to look at its processor time.
        """
        self._observer = observer
        self._most_rows = max_batch
        self.serve(network)
        self._admission = Admission(max_queue)
        self._queue: FairQueue[Block] = FairQueue()
        self._linger = Linger(
            linger, is_busy or BusyMeter().is_busy, lambda: self._queue.rows, self._dispatch
        )
        self._is_swept = False
        # When the loop came round to the queue, and what it did there if more waited.
        self._now = 0.0
        self._emptied: tuple[float, int] | None = None
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
        return self._queue.rows

    def submit(
        self,
        frames: Frames,
        flow: StreamFlow | None = None,
        priority: Priority = Priority.TENSOR,
        *,
        deadline: float | None = None,
    ) -> asyncio.Future[list[Share]]:
        """Queue a block.

        Args:
            frames: shape (n, 784), n >= 1, C-contiguous; must not change until answered. A block larger
                than a batch is computed in several.
            flow: what its stream has in the queue; None for a stream of its own.
            priority: its class.
            deadline: when the answer becomes worthless, on the clock of `time.perf_counter`, in seconds.

        Returns: a future of the block's shares, in the order of its rows. Cancelling it withdraws the
            block and harms no other. It fails with `DeadlineExpired` or `EngineFailed`.

        Raises:
            Overloaded: the queue is full, or the deadline cannot be met; see `Admission.admit`.
        """
        now, flow = perf_counter(), flow or Flow()
        if self._queue.rows or len(frames) > self._admission.max_rows:
            self._admit(flow, priority, len(frames), deadline, now)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Share]] = loop.create_future()
        block = Block([frames], len(frames), deadline, now, answer, [])
        self._queue.push(block, flow, priority)
        self._linger.came()
        if not self._linger.pays(deadline) or self._queue.rows >= self._max_batch:
            self._schedule(loop)
        elif not self._scheduled and self._working is None:
            self._linger.begin(loop)
        return answer

    def extend(self, answer: asyncio.Future[list[Share]], frames: Frames, flow: StreamFlow) -> bool:
        """Have images wait with the last block of their stream, if it has not begun.

        A future, a place in the queue and an answer for each message cost a busy server a third of its time.

        Args:
            answer: what `submit` gave for that block. Its shares will cover these frames, too.
            frames: see `submit`.
            flow: what the stream has in the queue.

        Returns: whether they do; else they are to be submitted.
        """
        blocks = flow.blocks[Priority.TENSOR]
        rows = self._queue.rows + len(frames)
        if not blocks or rows > self._admission.max_rows:
            return False
        block = blocks[-1]
        if block.answer is not answer or block.taken or block.deadline is not None:
            return False
        if answer.done() or block.rows + len(frames) > QUANTUM:
            return False
        block.add(frames, perf_counter())
        self._queue.grow(flow, Priority.TENSOR, len(frames))
        self._linger.came()
        if rows >= self._max_batch:
            self._schedule(asyncio.get_running_loop())
        return True

    def answer_written(self, seconds: float) -> None:
        """Note how long transport took to take an answer, for the estimate of waits."""
        self._admission.written(seconds)

    def compute_now(self, frames: Frames, *, deadline: float | None = None) -> list[Share] | None:
        """Compute a block at once where queueing it would gain nothing: without a future or another turn.

        That is so when nobody waits, the engine may run in place, and waiting for company does not pay.
        A caller who waits for each answer gets it a third sooner.

        Args:
            frames: see `submit`.
            deadline: see `submit`; it is taken for granted that it has not passed.

        Returns: the block's shares; None where it is to be submitted instead.

        Raises:
            EngineFailed: see `submit`.
        """
        network = self._network
        rows = len(frames)
        if self._queue.rows or self._working is not None or self._linger.pays(deadline):
            return None
        if rows > self._max_batch or rows > network.engine.in_place_rows:
            return None
        started = perf_counter()
        try:
            probabilities = network.engine.infer([frames])
            batch = checked_batch(network, probabilities, rows, started)
        except Exception as error:
            self._observer.failed(error, rows)
            raise failure_of(error) from error
        self._observer.computed(batch, [(0.0, rows)])
        return [Share(batch, 0, rows)]

    def _admit(
        self, flow: StreamFlow, priority: Priority, rows: int, deadline: float | None, now: float
    ) -> None:
        try:
            self._admission.admit(self._queue, flow, priority, rows, deadline, now)
        except Overloaded:
            if self._is_swept:
                raise
            # Once between two batches: what was withdrawn must keep nobody out.
            self._is_swept = True
            self._queue.sweep(lambda block: block.answer.done())
            self._admission.admit(self._queue, flow, priority, rows, deadline, now)

    @property
    def working_on(self) -> object | None:
        """What the engine's thread works on, another object for each batch; None while it is idle."""
        return self._working

    async def close(self) -> None:
        """Wait until everything that was accepted is answered, then release the engine's thread."""
        while self._queue.rows or self._working is not None:
            if self._working is not None:
                await asyncio.wait([self._working])
            else:
                self._dispatch(perf_counter())
                await asyncio.sleep(0)
        self._thread.shutdown()

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._scheduled and self._working is None:
            self._scheduled = True
            loop.call_soon(self._dispatch, perf_counter())

    def _dispatch(self, expected: float) -> None:
        """Run batches in place for a while, or start one in the engine's thread.

        Args:
            expected: when the loop should have come round to this, on the clock of `time.perf_counter`.
        """
        self._scheduled = False
        self._linger.end()
        if self._working is not None:
            return
        began = now = perf_counter()
        self._admission.came_round(began - expected)
        loop = asyncio.get_running_loop()
        while parts := self._take(now):
            rows = sum(stop - start for _, start, stop in parts)
            frames = frames_of(parts, rows)
            network = self._network
            if rows > network.engine.in_place_rows:
                self._working = loop.create_task(self._run_in_thread(network, parts, rows, frames))
                self._working.add_done_callback(self._thread_is_free)
                return
            started = perf_counter()
            try:
                probabilities = network.engine.infer(frames)
            # An engine is foreign code: whatever it raises is this batch's answer, not the loop's end.
            except Exception as error:  # noqa: BLE001
                self._fail(parts, rows, error)
            else:
                self._answer(network, parts, frames, probabilities, started)
            if not self._queue.rows:
                return
            now = perf_counter()
            if now - began >= TURN_SECONDS:
                # The loop hears the streams before it goes on.
                self._schedule(loop)
                return

    async def _run_in_thread(
        self, network: Network, parts: list[Part], rows: int, frames: list[Frames]
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
        if self._queue.rows:
            self._schedule(task.get_loop())

    def _take(self, now: float) -> list[Part]:
        """Take the next batch off the queue, and note how fast it empties."""
        if self._emptied is not None:
            since, rows = self._emptied
            self._admission.emptied(rows, now - since)
            self._emptied = None
        self._now = now
        self._is_swept = False
        parts = self._queue.take(self._max_batch, self._is_over)
        if self._queue.rows:
            self._emptied = now, sum(stop - start for _, start, stop in parts)
        return parts

    def _is_over(self, block: Block) -> bool:
        """Tell whether a block need not be computed any more; see to those that have expired."""
        if block.answer.done():
            return True
        if block.deadline is None or block.deadline > self._now:
            return False
        late_ms = (self._now - block.deadline) * 1000
        block.answer.set_exception(
            DeadlineExpired(f"the deadline passed {late_ms:.1f} ms before its turn came")
        )
        return True

    def _answer(
        self,
        network: Network,
        parts: list[Part],
        frames: list[Frames],
        probabilities: Probabilities,
        started: float,
    ) -> None:
        try:
            batch = checked_batch(network, probabilities, sum(map(len, frames)), started)
        except ValueError as wrong:
            self._fail(parts, sum(map(len, frames)), wrong)
            return
        self._observer.computed(
            batch, [(started - block.arrived, stop - start) for block, start, stop in parts]
        )
        row = 0
        for block, start, stop in parts:
            block.shares.append(Share(batch, row, row + stop - start))
            row += stop - start
            if stop == block.rows and not block.answer.done():
                block.answer.set_result(block.shares)

    def _fail(self, parts: list[Part], rows: int, cause: BaseException) -> None:
        self._observer.failed(cause, rows)
        for block, _, _ in parts:
            if not block.answer.done():
                block.answer.set_exception(failure_of(cause))
