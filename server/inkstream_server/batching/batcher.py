"""The one door to a network: decides whether frames are computed at once, join a block, or queue.

Leaves to `dispatcher.py` what all networks of a process share: the queue, and when a batch starts.
"""

import asyncio
from time import perf_counter

from inkstream_server.batching.admission import Overloaded
from inkstream_server.batching.blocks import Answer, Block, StreamFlow
from inkstream_server.batching.dispatcher import Dispatcher
from inkstream_server.batching.fair_queue import QUANTUM, Flow, Priority
from inkstream_server.batching.results import Network
from inkstream_server.engines import Frames


class Batcher:
    """Gathers the rows of one network into batches, for all streams of a process.

    Rows enter by `submit` alone, and every block that it accepts is answered exactly once. A block whose
    answer was cancelled is dropped before it costs anything. Use it from one event loop.
    """

    def __init__(self, dispatcher: Dispatcher, network: Network) -> None:
        """Submit to a dispatcher, for a network until another is served."""
        self.dispatcher = dispatcher
        self._queue = dispatcher.queue
        self._admission = dispatcher.admission
        self.network = network
        """Computes what is submitted from now on. See `serve`."""
        self.serve(network)

    def serve(self, network: Network) -> None:
        """Compute what is submitted from now on with this network.

        What waits is computed by the network for which it was submitted, since another one may read other
        rows. A network for images also sets the limit of the queue.
        """
        self.network = network
        if network.kind == "image":
            self._admission.measure(network.row_ns)
        self._batch_rows = min(self.dispatcher.max_batch, network.engine.max_rows)

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
            frames: rows of the network, n >= 1, C-contiguous; must not change until answered. More rows than
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
        dispatcher, network = self.dispatcher, self.network
        if (
            joins is not None
            and deadline is None
            and self._extend(joins, frames, flow, priority, now)
        ):
            for observer in dispatcher.observers:
                observer.submitted(joins, rows, priority, asked)
            return joins
        row_ns = network.row_ns
        at_once = at_once and self._computes_at_once(rows, deadline, now)
        if not at_once and (self._queue.rows or rows * row_ns > self._admission.max_work):
            try:
                dispatcher.admit(flow, priority, rows, row_ns, deadline, now)
            except Overloaded as error:
                for observer in dispatcher.observers:
                    observer.overloaded(error, rows, priority, asked)
                raise
        loop = asyncio.get_running_loop()
        answer: Answer = loop.create_future()
        block = Block([frames], rows, deadline, now, answer, network, row_ns)
        for observer in dispatcher.observers:
            observer.submitted(answer, rows, priority, asked)
        if at_once:
            dispatcher.compute(network, [(block, 0, rows)], rows, [frames])
        else:
            self._queue.push(block, flow, priority)
            linger = dispatcher.linger
            linger.came()
            if not linger.pays(deadline) or self._queue.rows >= self._batch_rows:
                dispatcher.schedule(loop)
            else:
                dispatcher.await_more(loop)
        return answer

    def _extend(
        self, joins: Answer, frames: Frames, flow: StreamFlow, priority: Priority, now: float
    ) -> bool:
        """Add frames to the last block of their stream if it waits for `joins`; says whether."""
        blocks, rows = flow.blocks[priority], len(frames)
        if not blocks:
            return False
        block = blocks[-1]
        if block.answer is not joins or block.taken or block.deadline is not None:
            return False
        if joins.done() or block.rows + rows > QUANTUM or block.network is not self.network:
            return False
        queue = self._queue
        if queue.work + rows * block.row_ns > self._admission.max_work:
            return False
        block.add(frames, now)
        queue.grow(block, flow, priority, rows)
        self.dispatcher.linger.came()
        if queue.rows >= self._batch_rows:
            self.dispatcher.schedule(asyncio.get_running_loop())
        return True

    def _computes_at_once(self, rows: int, deadline: float | None, now: float) -> bool:
        """Whether queueing so many rows would gain nothing, and the engine may run in place."""
        dispatcher = self.dispatcher
        return (
            not self._queue.rows
            and dispatcher.working_on is None
            and rows <= self._batch_rows
            and rows <= self.network.engine.in_place_rows
            and not dispatcher.linger.pays(deadline)
            and (deadline is None or now < deadline)
        )
