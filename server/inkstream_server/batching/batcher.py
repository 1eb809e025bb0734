"""The one door to the engine: decides whether frames are computed at once, join a block, or queue.

When the engine is idle, a batch starts after the event loop has handled all messages of this turn. While the
engine works in a thread, the queue grows, and so does the next batch. Only in a busy process does a batch
wait a moment for more blocks (`linger.py`).
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

from inkstream_server.batching.admission import Admission, Overloaded
from inkstream_server.batching.blocks import Answer, Block, Part, frames_of
from inkstream_server.batching.fair_queue import QUANTUM, FairQueue, Flow, Priority
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

StreamFlow = Flow[Block]
"""The blocks of one stream in the queue."""


class Batcher:
    """One queue and one engine, for all streams of a process.

    Frames enter by `submit` alone, and every block that it accepts is answered exactly once. A block whose
    answer was cancelled is dropped before it costs anything. Use it from one event loop.
    """

    def __init__(
        self,
        network: Network,
        observers: Sequence[Observer],
        *,
        max_batch: int,
        max_queue: int,
        linger: float = 0.0,
        is_busy: Callable[[], bool] | None = None,
    ) -> None:
        """Prepare; nothing runs until something is submitted.

        Args:
            network: computes, until another is served.
            observers: watch all frames.
            max_batch: most frames in a batch; lowered to what the engine takes.
            max_queue: most frames that may wait; see `Admission.admit`.
            linger: most seconds that blocks wait for others while the process is busy.
            is_busy: whether the process is busy; None to look at its processor time.
        """
        self._observers = observers
        self._most_rows = max_batch
        self.serve(network)
        self._admission = Admission(max_queue)
        self._queue: FairQueue[Block] = FairQueue()
        self._linger = Linger(
            linger, is_busy or BusyMeter().is_busy, lambda: self._queue.rows, self._dispatch
        )
        self._is_swept = False
        # When the last batch was taken off the queue, and its rows if more waited.
        self._now = 0.0
        self._emptied: tuple[float, int] | None = None
        self._scheduled = False
        self._working: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")

    def serve(self, network: Network) -> None:
        """Compute with this network from the next batch on. What waits stays; no batch is split."""
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
        asked: float | None = None,
        at_once: bool = False,
        joins: Answer | None = None,
    ) -> Answer:
        """Have frames computed: at once, with a block that waits, or as a block of their own.

        Args:
            frames: shape (n, 784), n >= 1, C-contiguous; must not change until answered. More frames than
                fit a batch are computed in several.
            flow: what their stream has in the queue; None for a stream of their own.
            priority: their class.
            deadline: when the answer becomes worthless, on the clock of `time.perf_counter`, in seconds.
            asked: when the frames were asked for, on the same clock, for observers; None for now.
            at_once: whether the caller can use the answer when this returns. The frames are then computed
                in place if queueing them would gain nothing: a caller that waits for each answer gets it
                a third sooner.
            joins: an earlier answer of this flow that may cover these frames, too. They then wait with its
                block if that is the last one and has not begun: a future, a place in the queue and an
                answer for each message cost a busy server a third of its time.

        Returns: the answer to the frames; done if they were computed at once, and `joins` itself if they wait
            with that block. Cancelling it withdraws the block and harms no other.

        Raises:
            Overloaded: the queue is full, or the deadline cannot be met; see `Admission.admit`.
        """
        now, rows, flow = perf_counter(), len(frames), flow or Flow()
        if (
            joins is not None
            and deadline is None
            and self._extend(joins, frames, flow, priority, now)
        ):
            for observer in self._observers:
                observer.submitted(joins, rows, priority, asked)
            return joins
        at_once = at_once and self._computes_at_once(rows, deadline, now)
        if not at_once and (self._queue.rows or rows > self._admission.max_rows):
            try:
                self._admit(flow, priority, rows, deadline, now)
            except Overloaded as error:
                for observer in self._observers:
                    observer.overloaded(error, rows, priority, asked)
                raise
        loop = asyncio.get_running_loop()
        answer: Answer = loop.create_future()
        block = Block([frames], rows, deadline, now, answer)
        for observer in self._observers:
            observer.submitted(answer, rows, priority, asked)
        if at_once:
            self._compute(self._network, [(block, 0, rows)], rows, [frames])
            return answer
        self._queue.push(block, flow, priority)
        self._linger.came()
        if not self._linger.pays(deadline) or self._queue.rows >= self._max_batch:
            self._schedule(loop)
        elif not self._scheduled and self._working is None:
            self._linger.begin(loop)
        return answer

    def answer_written(self, seconds: float) -> None:
        """Note how long transport took for an answer, for the estimate of waits."""
        self._admission.written(seconds)

    @property
    def working_on(self) -> object | None:
        """The batch in the engine's thread, another object for each; None while it is idle."""
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

    def _extend(
        self, joins: Answer, frames: Frames, flow: StreamFlow, priority: Priority, now: float
    ) -> bool:
        """Add frames to the last block of their stream if it waits for `joins`; says whether."""
        blocks = flow.blocks[priority]
        rows = self._queue.rows + len(frames)
        if not blocks or rows > self._admission.max_rows:
            return False
        block = blocks[-1]
        if block.answer is not joins or block.taken or block.deadline is not None:
            return False
        if joins.done() or block.rows + len(frames) > QUANTUM:
            return False
        block.add(frames, now)
        self._queue.grow(flow, priority, len(frames))
        self._linger.came()
        if rows >= self._max_batch:
            self._schedule(asyncio.get_running_loop())
        return True

    def _computes_at_once(self, rows: int, deadline: float | None, now: float) -> bool:
        """Whether queueing so many rows would gain nothing, and the engine may run in place."""
        return (
            not self._queue.rows
            and self._working is None
            and rows <= self._max_batch
            and rows <= self._network.engine.in_place_rows
            and not self._linger.pays(deadline)
            and (deadline is None or now < deadline)
        )

    def _admit(
        self, flow: StreamFlow, priority: Priority, rows: int, deadline: float | None, now: float
    ) -> None:
        try:
            self._admission.admit(self._queue, flow, priority, rows, deadline, now)
        except Overloaded:
            if self._is_swept:
                raise
            # Cancelled blocks must not cause a rejection. Once between two batches is enough.
            self._is_swept = True
            self._queue.sweep(lambda block: block.answer.done())
            self._admission.admit(self._queue, flow, priority, rows, deadline, now)

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._scheduled and self._working is None:
            self._scheduled = True
            loop.call_soon(self._dispatch, perf_counter())

    def _dispatch(self, expected: float) -> None:
        """Run batches in place for a while, or start one in the engine's thread.

        Args:
            expected: when the loop should have called this, on the clock of `time.perf_counter`.
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
            self._compute(network, parts, rows, frames)
            if not self._queue.rows:
                return
            now = perf_counter()
            if now - began >= TURN_SECONDS:
                # The loop reads streams before it goes on.
                self._schedule(loop)
                return

    def _compute(
        self, network: Network, parts: list[Part], rows: int, frames: list[Frames]
    ) -> None:
        """Run a batch in place, and answer its blocks."""
        started = perf_counter()
        try:
            batch = checked_batch(network, network.engine.infer(frames), rows, started)
        # An engine is foreign code: what it raises answers this batch, and must not end the loop.
        except Exception as error:  # noqa: BLE001
            self._fail(parts, error, started)
        else:
            self._answer(parts, batch)

    async def _run_in_thread(
        self, network: Network, parts: list[Part], rows: int, frames: list[Frames]
    ) -> None:
        started = perf_counter()
        loop = asyncio.get_running_loop()
        try:
            inferred = await loop.run_in_executor(self._thread, network.engine.infer, frames)
            batch = checked_batch(network, inferred, rows, started)
        except Exception as error:  # noqa: BLE001 (as in _compute)
            self._fail(parts, error, started)
        else:
            self._answer(parts, batch)

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
        for observer in self._observers:
            observer.computed(batch, parts)
        row = 0
        for block, start, stop in parts:
            block.shares.append(Share(batch, row, row + stop - start))
            row += stop - start
            if stop == block.rows and not block.answer.done():
                block.answer.set_result(block.shares)

    def _fail(self, parts: list[Part], cause: BaseException, started: float) -> None:
        for observer in self._observers:
            observer.failed(cause, parts, started)
        for block, _, _ in parts:
            if not block.answer.done():
                block.answer.set_exception(failure_of(cause))
