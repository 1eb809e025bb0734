"""The reply to tensors: submits them, waits for their batches, counts them, and writes them."""

from dataclasses import dataclass, field
from time import perf_counter
from typing import Final

from inkstream.v1 import error_pb2

from inkstream_server.access.allowance import Allowance
from inkstream_server.batching.admission import Overloaded
from inkstream_server.batching.batcher import Batcher
from inkstream_server.batching.blocks import Answer, StreamFlow
from inkstream_server.batching.results import DeadlineExpired, EngineFailed
from inkstream_server.limits.memory_book import Kind
from inkstream_server.metrics.items import OUTCOME_OF_CODE, Metrics, count_warnings
from inkstream_server.streams.outbox import Reply
from inkstream_server.wire.answer_options import AnswerOptions
from inkstream_server.wire.packed_results import PackedResults, pack_results
from inkstream_server.wire.response import ERROR_BYTES, Response, SharedError, shared_error
from inkstream_server.wire.tensors import Arrival

# Measured as the growth of RSS by 20,000 of them, with CPython 3.11 on x86-64.
REPLY_BYTES: Final = 2100
"""A reply that waits, with its block, its future and the view of its frames, without their pixels."""
PACKED_BYTES: Final = 700
"""A reply of which only the packed results are left."""
ROW_BYTES: Final = 42
"""The number of a frame in a list."""


@dataclass(slots=True, eq=False)
class TensorReply:
    """The answer to a message of tensors, or to several whose frames wait together, as far as it is known.

    Satisfies `Reply`.
    """

    items: int
    arrived: float
    options: AnswerOptions | None
    metrics: Metrics
    errors: list[error_pb2.ItemError]
    """Errors of bad frames, each with its own reason."""
    blocks: list[tuple[list[int], Answer]] = field(default_factory=list)
    """The frames that the batcher accepted, by their numbers."""
    shared_errors: list[SharedError] = field(default_factory=list)
    """Errors of frames that the batcher did not accept or compute."""
    later: list[tuple[float, int]] = field(default_factory=list)
    """When each further message arrived, and its items."""
    size: int = REPLY_BYTES
    """See `Reply`."""
    kind: Kind = "messages"
    """See `Reply`."""
    results: list[PackedResults] = field(default_factory=list)
    """Answers that were packed."""

    @property
    def shareable(self) -> Answer | None:
        """The answer that may cover further messages, too; None for none.

        If callers want more than digits and confidences, each message has an answer of its own.
        """
        return self.blocks[0][1] if self.options is None and len(self.blocks) == 1 else None

    def extend(self, sequences: list[int], arrived: float, size: int) -> None:
        """Cover a further message of so many bytes, whose frames wait with those of this one."""
        self.blocks[0][0].extend(sequences)
        self.items += len(sequences)
        self.size += size
        self.later.append((arrived, len(sequences)))

    def is_complete(self) -> bool:
        """See `Reply`."""
        for _, answer in self.blocks:  # noqa: SIM110 (asked of every message, and all() is slower)
            if not answer.done():
                return False
        return True

    async def ready(self) -> None:
        """See `Reply`."""
        for _, answer in self.blocks:
            if not answer.done():
                try:
                    await answer
                except (DeadlineExpired, EngineFailed):
                    continue  # append turns it into item errors.

    def pack(self) -> None:
        """See `Reply`."""
        for sequences, answer in self.blocks:
            failure = answer.exception()
            if failure is None:
                self.results += pack_results(sequences, answer.result(), self.options, self.arrived)
            elif isinstance(failure, DeadlineExpired | EngineFailed):
                self.shared_errors.append(shared_error(sequences, failure))
            else:
                raise failure
        self.blocks = []
        self.kind = "answers"
        self.size = (
            PACKED_BYTES
            + sum([len(entry.packed) for entry in self.results])
            + sum([ROW_BYTES * len(shared.sequences) for shared in self.shared_errors])
            + ERROR_BYTES * len(self.errors)
        )

    def append(self, response: Response) -> None:
        """See `Reply`."""
        self.pack()
        metrics, shared_errors = self.metrics, self.shared_errors
        count_warnings(self.results, metrics)
        response.results += self.results
        first = good = self.items
        now = perf_counter()
        for arrived, items in self.later:
            metrics.handed_over("tensor", now - arrived, items)
            first -= items
        metrics.handed_over("tensor", now - self.arrived, first)
        if shared_errors or self.errors:
            response.shared_errors += shared_errors
            response.errors += self.errors
            ended = [(error.code, 1) for error in self.errors]
            ended += [(shared.error.code, len(shared.sequences)) for shared in shared_errors]
            for code, items in ended:
                metrics.ended("tensor", OUTCOME_OF_CODE[code], items)
                good -= items
        metrics.ended("tensor", "ok", good)

    def withdraw(self) -> None:
        """See `Reply`."""
        for _, answer in self.blocks:
            answer.cancel()
        self.metrics.ended("tensor", "cancelled", self.items)


def reply_to(
    arrival: Arrival,
    arrived: float,
    batcher: Batcher,
    metrics: Metrics,
    options: AnswerOptions | None,
    flow: StreamFlow,
    *,
    last: Reply | None = None,
    at_once: bool = False,
) -> TensorReply:
    """Submit a message's frames to the batcher, and make the reply to them.

    Args:
        arrival: the message.
        arrived: when it came, on the clock of `time.perf_counter`, in seconds.
        batcher: computes.
        metrics: counts.
        options: what answers hold beside digits and confidences; None for nothing.
        flow: what the stream has in the batcher's queue.
        last: the reply before this one, if it still waits.
        at_once: whether a complete reply can be written at once.

    Returns: the reply to the message. It is `last` if the frames wait with those of that one.
    """
    is_single = len(arrival.groups) == 1
    can_join = is_single and not arrival.errors
    mate = last if can_join and isinstance(last, TensorReply) else None
    joins = mate.shareable if mate is not None else None
    blocks: list[tuple[list[int], Answer]] = []
    shared_errors: list[SharedError] = []
    for group in arrival.groups:
        try:
            answer = batcher.submit(
                group.frames,
                flow,
                deadline=arrived + group.deadline_ms / 1000 if group.deadline_ms else None,
                # Groups that are queued can share a batch.
                at_once=at_once and is_single,
                joins=joins,
            )
        except Overloaded as full:
            shared_errors.append(shared_error(group.sequences, full))
            continue
        if mate is not None and answer is joins:
            mate.extend(group.sequences, arrived, size_of(arrival))
            return mate
        blocks.append((group.sequences, answer))
    reply = TensorReply(
        arrival.items, arrived, options, metrics, arrival.errors, blocks, shared_errors
    )
    reply.size += size_of(arrival)
    return reply


def size_of(arrival: Arrival) -> int:
    """Give the bytes that a reply to an arrival holds besides itself."""
    return arrival.size + ROW_BYTES * arrival.items + ERROR_BYTES * len(arrival.errors)


def ration(arrival: Arrival, allowance: Allowance) -> list[error_pb2.ItemError]:
    """Take an arrival's frames out of an allowance, the first ones first; the rest leave their groups.

    Returns: an error for each frame beyond the allowance, with a retry-after.
    """
    errors: list[error_pb2.ItemError] = []
    for group in arrival.groups:
        asked = len(group.sequences)
        granted = allowance.take(asked)
        if granted == asked:
            continue
        retry_after_ms = allowance.retry_after_ms(asked - granted)
        errors += [
            error_pb2.ItemError(
                sequence=sequence,
                code=error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED,
                message=allowance.exhausted(),
                retry_after_ms=retry_after_ms,
            )
            for sequence in group.sequences[granted:]
        ]
        # A copy, because a view of some frames would keep all of them.
        group.frames, group.sequences = group.frames[:granted].copy(), group.sequences[:granted]
        if len(arrival.groups) == 1:
            arrival.size = group.frames.nbytes
    arrival.groups = [group for group in arrival.groups if group.sequences]
    return errors
