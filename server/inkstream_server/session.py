"""One stream: reads its messages, has them answered, and writes the answers in the order of arrival.

Knows messages and the batcher; of gRPC only that something can be read and something written.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Protocol

from inkstream.v1 import error_pb2, ink_pb2, tensor_pb2
from inkstream.v1.recognition_service_pb2 import (
    Draining,
    StreamRecognizeRequest,
    StreamRecognizeResponse,
)

from inkstream_server import answers, tensors
from inkstream_server.batching import (
    Batcher,
    DeadlineExpired,
    EngineFailed,
    QueueFull,
    Share,
    withdraw,
)
from inkstream_server.metrics import Kind, Metrics

DRAIN_IDLE_SECONDS = 0.25
"""How long a draining stream may be silent before the server ends it: five packets of a live pen."""

LAST_ANSWERS_SECONDS = 1.0
"""What a stream that was read until the grace was over still gets for writing its answers."""


class ProtocolViolation(Exception):
    """The caller broke the order of messages; the stream cannot go on. Says what was wrong."""


class Wire(Protocol):
    """The two directions of a stream."""

    async def read(self) -> StreamRecognizeRequest | None:
        """Give the next message; None when the caller will send no more, or is gone."""
        ...

    async def write(self, response: StreamRecognizeResponse) -> None:
        """Hand a message to the transport, waiting while the caller does not keep up."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What one stream may ask of the server."""

    window: int
    """Frames unanswered at once; beyond it the stream is not read."""
    max_frames_per_message: int
    """Frames in one message."""


@dataclass(slots=True, eq=False)
class _Due:
    """The answer to one message, as far as it is known."""

    items: int
    arrived: float
    kind: Kind = "tensor"
    blocks: list[tuple[Sequence[int], asyncio.Future[list[Share]]]] = field(default_factory=list)
    errors: list[error_pb2.ItemError] = field(default_factory=list)
    draining: Draining | None = None

    def is_complete(self) -> bool:
        return all(answer.done() for _, answer in self.blocks)


class Session:
    """A stream after its configuration.

    A reader and a writer share a first-in-first-out of what is due. Answers that are complete by the time
    the writer comes round leave in one message.
    """

    def __init__(
        self,
        wire: Wire,
        batcher: Batcher,
        metrics: Metrics,
        options: tensor_pb2.AnswerOptions,
        limits: Limits,
    ) -> None:
        self._wire = wire
        self._batcher = batcher
        self._metrics = metrics
        self._options = options
        self._limits = limits
        self._last_sequence = -1
        self._due: deque[_Due] = deque()
        self._in_flight = 0
        self._messages = 0
        self._ended = False
        self._wake_writer = asyncio.Event()
        self._room = asyncio.Event()
        self._finished = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Serve the stream until its caller half-closes and everything is answered.

        Cancelling withdraws what was not computed yet; other streams notice nothing.

        Raises:
            ProtocolViolation: after everything before it was answered.
        """
        reader = self._reader = asyncio.create_task(self._read())
        try:
            await self._write()
            if not reader.cancelled():
                reader.result()
        finally:
            reader.cancel()
            await asyncio.wait([reader])
            if not reader.cancelled():
                reader.exception()  # Seen: asyncio complains of exceptions that nobody looked at.
            self._withdraw()
            self._finished.set()

    async def drain(self, grace_seconds: float) -> None:
        """Tell the caller to go elsewhere; stop reading when it half-closes, falls silent or time is up.

        Returns when what was read until then has been answered by `run`, or cannot be in time.
        """
        reader = self._reader
        if reader is None:
            return
        notice = Draining(grace_ms=round(grace_seconds * 1000))
        self._put(_Due(0, perf_counter(), draining=notice))
        end = perf_counter() + grace_seconds
        while not reader.done() and (left := end - perf_counter()) > 0:
            seen = self._messages
            await asyncio.wait([reader], timeout=min(DRAIN_IDLE_SECONDS, left))
            # A reader that the window holds hears nobody: that is not silence.
            if self._messages == seen and not self._is_full():
                break
        reader.cancel()
        try:
            async with asyncio.timeout(max(LAST_ANSWERS_SECONDS, end - perf_counter())):
                await self._finished.wait()
        except TimeoutError:
            return

    async def _read(self) -> None:
        try:
            while (request := await self._wire.read()) is not None:
                self._messages += 1
                self._accept(request)
                while self._is_full():
                    self._room.clear()
                    await self._room.wait()
        finally:
            self._ended = True
            self._wake_writer.set()

    def _is_full(self) -> bool:
        return self._in_flight >= self._limits.window

    def _accept(self, request: StreamRecognizeRequest) -> None:
        kind = request.WhichOneof("request")
        if kind == "tensors":
            self._accept_tensors(request.tensors)
        elif kind == "ink":
            self._refuse_ink(request.ink)
        elif kind == "config":
            raise ProtocolViolation("config: only the first message may carry it")
        else:
            raise ProtocolViolation("request: expected tensors or ink, got an empty message")

    def _accept_tensors(self, message: tensor_pb2.Tensors) -> None:
        arrived = perf_counter()
        try:
            arrival = tensors.read(
                message,
                after=self._last_sequence,
                max_frames=self._limits.max_frames_per_message,
            )
        except tensors.TooManyFrames as excess:
            raise ProtocolViolation(str(excess)) from excess
        self._last_sequence = arrival.last_sequence
        due = _Due(arrival.items, arrived, errors=arrival.errors)
        for group in arrival.groups:
            deadline = arrived + group.deadline_ms / 1000 if group.deadline_ms else None
            try:
                answer = self._batcher.submit(group.frames, deadline=deadline)
            except QueueFull as full:
                due.errors += answers.refuse(group.sequences, full)
            else:
                due.blocks.append((group.sequences, answer))
        self._put(due)

    def _refuse_ink(self, message: ink_pb2.InkEvents) -> None:
        errors = [
            error_pb2.ItemError(
                ink=error_pb2.InkItem(pen=pen),
                code=error_pb2.ERROR_CODE_UNIMPLEMENTED,
                field="ink",
                message="ink: this server recognises tensors only",
            )
            for pen in sorted({event.pen for event in message.events})
        ]
        if errors:
            # They weigh in the window: whoever reads no answers must not be able to pile them up.
            self._put(_Due(len(errors), perf_counter(), "ink", errors=errors))

    def _put(self, due: _Due) -> None:
        self._due.append(due)
        self._in_flight += due.items
        self._wake_writer.set()

    async def _write(self) -> None:
        while True:
            if not self._due:
                if self._ended:
                    return
                self._wake_writer.clear()
                await self._wake_writer.wait()
                continue
            await self._first_is_complete()
            response = StreamRecognizeResponse()
            items = 0
            while self._due and self._due[0].is_complete():
                due = self._due.popleft()
                self._append(response, due)
                items += due.items
            try:
                await self._wire.write(response)
            finally:
                self._in_flight -= items
                self._room.set()

    async def _first_is_complete(self) -> None:
        for _, answer in self._due[0].blocks:
            if not answer.done():
                try:
                    await answer
                except (DeadlineExpired, EngineFailed):
                    continue  # _append turns it into item errors.

    def _append(self, response: StreamRecognizeResponse, due: _Due) -> None:
        """Add what is due to a response, and count it."""
        errors = due.errors
        for sequences, answer in due.blocks:
            failure = answer.exception()
            if failure is None:
                answers.append_results(
                    response.tensors, sequences, answer.result(), self._options, due.arrived
                )
            elif isinstance(failure, DeadlineExpired | EngineFailed):
                errors = errors + answers.refuse(sequences, failure)
            else:
                raise failure
        if due.draining is not None:
            response.draining.CopyFrom(due.draining)
        if errors:
            response.errors.extend(errors)
        if due.items:
            self._metrics.handed_over(due.kind, perf_counter() - due.arrived, due.items)
            self._metrics.ended(due.kind, "ok", due.items - len(errors))
            for error in errors:
                self._metrics.ended(due.kind, answers.OUTCOME_OF_CODE[error.code], 1)

    def _withdraw(self) -> None:
        """Cancel what will never be written, so that the batcher drops it."""
        for due in self._due:
            for _, answer in due.blocks:
                withdraw(answer)
            if due.items:
                self._metrics.ended(due.kind, "cancelled", due.items)
        self._due.clear()
