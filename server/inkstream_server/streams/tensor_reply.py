"""The answer that a stream owes to tensors: waits for its batches and becomes columns."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter

from inkstream.v1 import error_pb2, tensor_pb2

from inkstream_server.access.allowance import Allowance
from inkstream_server.batching.admission import Overloaded
from inkstream_server.batching.batcher import Batcher, StreamFlow
from inkstream_server.batching.results import DeadlineExpired, EngineFailed, Share
from inkstream_server.metrics.items import OUTCOME_OF_CODE, Metrics, count_warnings
from inkstream_server.wire.columns import columns_of
from inkstream_server.wire.response import Refusal, Response, refuse
from inkstream_server.wire.tensors import Arrival, Group


@dataclass(slots=True, eq=False)
class TensorReply:
    """The answer to a message of tensors, or to several that wait together, as far as it is known.

    Satisfies `Reply`.
    """

    items: int
    arrived: float
    options: tensor_pb2.AnswerOptions | None
    metrics: Metrics
    errors: list[error_pb2.ItemError]
    """Of frames that were wrong, each in its own way."""
    blocks: list[tuple[list[int], asyncio.Future[list[Share]]]] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    later: list[tuple[float, int]] = field(default_factory=list)
    """When each further message arrived, and its items."""

    def submit(self, groups: Sequence[Group], batcher: Batcher, flow: StreamFlow) -> None:
        """Have a message's frames computed; those that the batcher refuses are answered with that."""
        for group in groups:
            deadline = self.arrived + group.deadline_ms / 1000 if group.deadline_ms else None
            try:
                answer = batcher.submit(group.frames, flow, deadline=deadline)
            except Overloaded as full:
                self.refusals.append(refuse(group.sequences, full))
            else:
                self.blocks.append((group.sequences, answer))

    def takes(self, group: Group, batcher: Batcher, flow: StreamFlow, arrived: float) -> bool:
        """Take a further message, all of it good, if it can wait with what waits; tells whether.

        Not where callers want more than digits and confidences, or set deadlines: each message has its own.
        """
        if self.options is not None or group.deadline_ms or len(self.blocks) != 1:
            return False
        sequences, answer = self.blocks[0]
        if not batcher.extend(answer, group.frames, flow):
            return False
        sequences += group.sequences
        self.items += len(group.sequences)
        self.later.append((arrived, len(group.sequences)))
        return True

    def is_complete(self) -> bool:
        """See `Reply`."""
        return all(answer.done() for _, answer in self.blocks)

    async def ready(self) -> None:
        """See `Reply`."""
        for _, answer in self.blocks:
            if not answer.done():
                try:
                    await answer
                except (DeadlineExpired, EngineFailed):
                    continue  # append turns it into item errors.

    def append(self, response: Response) -> None:
        """See `Reply`."""
        refusals = [*self.refusals]
        for sequences, answer in self.blocks:
            failure = answer.exception()
            if failure is None:
                columns = columns_of(sequences, answer.result(), self.options, self.arrived)
                count_warnings(columns, self.metrics)
                response.columns += columns
            elif isinstance(failure, DeadlineExpired | EngineFailed):
                refusals.append(refuse(sequences, failure))
            else:
                raise failure
        response.refusals += refusals
        response.errors.extend(self.errors)
        if self.items:
            now, first = perf_counter(), self.items
            for arrived, items in self.later:
                self.metrics.handed_over("tensor", now - arrived, items)
                first -= items
            self.metrics.handed_over("tensor", now - self.arrived, first)
            ended = [(error.code, 1) for error in self.errors]
            ended += [(refusal.error.code, len(refusal.sequences)) for refusal in refusals]
            self.metrics.ended("tensor", "ok", self.items - sum(items for _, items in ended))
            for code, items in ended:
                self.metrics.ended("tensor", OUTCOME_OF_CODE[code], items)

    def withdraw(self) -> None:
        """See `Reply`."""
        for _, answer in self.blocks:
            answer.cancel()
        if self.items:
            self.metrics.ended("tensor", "cancelled", self.items)


def ration(arrival: Arrival, allowance: Allowance) -> list[error_pb2.ItemError]:
    """Take an arrival's frames out of an allowance; those beyond it leave their groups.

    The first frames of a message are the ones that stay.

    Returns: an error for each frame that was cut off, with the time after which there is room again.
    """
    refused: list[error_pb2.ItemError] = []
    for group in arrival.groups:
        asked = len(group.sequences)
        granted = allowance.take(asked)
        if granted == asked:
            continue
        retry_after_ms = allowance.retry_after_ms(asked - granted)
        refused += [
            error_pb2.ItemError(
                sequence=sequence,
                code=error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED,
                message=allowance.exhausted(),
                retry_after_ms=retry_after_ms,
            )
            for sequence in group.sequences[granted:]
        ]
        group.frames, group.sequences = group.frames[:granted], group.sequences[:granted]
    arrival.groups = [group for group in arrival.groups if group.sequences]
    return refused
