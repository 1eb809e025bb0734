"""One stream: reads its messages, has them answered, and writes the answers in the order of arrival.

Knows messages and the batcher; of gRPC only that something can be read and something written.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from time import perf_counter
from typing import Protocol

from inkstream.v1 import error_pb2, tensor_pb2
from inkstream.v1.recognition_service_pb2 import (
    Draining,
    StreamRecognizeRequest,
    StreamRecognizeResponse,
)

from inkstream_server import answers, tensors
from inkstream_server.admission import Overloaded
from inkstream_server.batching import Batcher, DeadlineExpired, EngineFailed, StreamFlow
from inkstream_server.blocks import Share
from inkstream_server.due import Due
from inkstream_server.fair_queue import Flow
from inkstream_server.metrics import Metrics
from inkstream_server.pens.clock import Clock
from inkstream_server.pens.ink_session import Ground, InkSession

DRAIN_IDLE_SECONDS = 0.25
"""How long a draining stream may be silent before the server ends it: five packets of a live pen."""

LAST_ANSWERS_SECONDS = 1.0
"""The last of the grace, in which a stream is not read any more but gets its answers; half of it at most."""


class ProtocolViolation(Exception):
    """The caller broke the order of messages; the stream cannot go on. Says what was wrong."""


class ReaderStalled(Exception):
    """The caller has not read its answers for so long that the stream is given up. Says how long."""


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
class _TensorsDue:
    """The answer to one message of tensors, as far as it is known. Satisfies `Due`."""

    items: int
    arrived: float
    options: tensor_pb2.AnswerOptions
    metrics: Metrics
    errors: list[error_pb2.ItemError]
    blocks: list[tuple[Sequence[int], asyncio.Future[list[Share]]]] = field(default_factory=list)

    def is_complete(self) -> bool:
        return all(answer.done() for _, answer in self.blocks)

    async def ready(self) -> None:
        for _, answer in self.blocks:
            if not answer.done():
                try:
                    await answer
                except (DeadlineExpired, EngineFailed):
                    continue  # append turns it into item errors.

    def append(self, response: StreamRecognizeResponse) -> None:
        errors = self.errors
        for sequences, answer in self.blocks:
            failure = answer.exception()
            if failure is None:
                answers.append_results(
                    response.tensors,
                    sequences,
                    answer.result(),
                    self.options,
                    self.arrived,
                )
            elif isinstance(failure, DeadlineExpired | EngineFailed):
                errors = errors + answers.refuse(sequences, failure)
            else:
                raise failure
        if errors:
            response.errors.extend(errors)
        if self.items:
            self.metrics.handed_over("tensor", perf_counter() - self.arrived, self.items)
            self.metrics.ended("tensor", "ok", self.items - len(errors))
            for error in errors:
                self.metrics.ended("tensor", answers.OUTCOME_OF_CODE[error.code], 1)

    def withdraw(self) -> None:
        for _, answer in self.blocks:
            answer.cancel()
        if self.items:
            self.metrics.ended("tensor", "cancelled", self.items)


@dataclass(slots=True, eq=False)
class _NoticeDue:
    """Word of a drain. Satisfies `Due`."""

    draining: Draining
    items: int = 0

    def is_complete(self) -> bool:
        return True

    async def ready(self) -> None:
        return

    def append(self, response: StreamRecognizeResponse) -> None:
        response.draining.CopyFrom(self.draining)

    def withdraw(self) -> None:
        return


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
        ground: Ground | None = None,
        clock: Clock | None = None,
        client_label: str = "",
    ) -> None:
        """Prepare.

        Args:
            wire: the stream.
            batcher: computes.
            metrics: counts.
            options: what answers to tensors should hold.
            limits: what the stream may ask for.
            ground: what the pens of all streams share; None for defaults and an easel of its own.
            clock: tells the quiet times of pens; None for the event loop's.
            client_label: what the caller's kind of device calls itself.
        """
        self._wire = wire
        self._batcher = batcher
        self._metrics = metrics
        self._options = options
        self._limits = limits
        self._client = metrics.clients.of(client_label)
        self._last_sequence = -1
        self._flow: StreamFlow = Flow()
        ground = ground or Ground.over(batcher, metrics)
        self._ink = InkSession(ground, self._put, clock, self._flow)
        self._due: deque[Due] = deque()
        self._in_flight = 0
        self._messages = 0
        self._ended = False
        self._wake_writer = asyncio.Event()
        self._room = asyncio.Event()
        self._finished = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._writing_since = inf
        self._stalled: ReaderStalled | None = None

    async def run(self) -> None:
        """Serve the stream until its caller half-closes and everything is answered.

        Cancelling withdraws what was not computed yet; other streams notice nothing.

        Raises:
            ProtocolViolation: after everything before it was answered.
            ReaderStalled: after `end_if_stalled` gave it up.
        """
        self._task = asyncio.current_task()
        reader = self._reader = asyncio.create_task(self._read())
        try:
            with self._client.streaming():
                await self._write()
            if not reader.cancelled():
                reader.result()
        except asyncio.CancelledError:
            if self._stalled is None:
                raise
            raise self._stalled from None
        finally:
            reader.cancel()
            await asyncio.wait([reader])
            self._withdraw()
            self._finished.set()

    def end_if_stalled(self, limit: float, now: float) -> None:
        """Give the stream up if one answer has waited too long for its caller to read.

        Until then the window bounds what such a stream holds.

        Args:
            limit: seconds that a write may take.
            now: on the clock of `time.perf_counter`, in seconds.
        """
        waited = now - self._writing_since
        if waited > limit and self._stalled is None and self._task is not None:
            self._stalled = ReaderStalled(
                f"the caller has read no answer for {waited:.1f} s: the stream is ended"
            )
            self._task.cancel()

    async def drain(self, grace_seconds: float) -> None:
        """Tell the caller to go elsewhere; stop reading when it half-closes, falls silent or time is up.

        Returns when what was read until then has been answered by `run`, or cannot be in time.
        """
        reader = self._reader
        if reader is None:
            return
        # Before the answers that are due: the sooner callers go elsewhere, the less they wait.
        self._due.appendleft(_NoticeDue(Draining(grace_ms=round(grace_seconds * 1000))))
        self._wake_writer.set()
        end = perf_counter() + grace_seconds
        read_until = end - min(LAST_ANSWERS_SECONDS, grace_seconds / 2)
        while not reader.done() and (left := read_until - perf_counter()) > 0:
            seen = self._messages
            await asyncio.wait([reader], timeout=min(DRAIN_IDLE_SECONDS, left))
            # A reader that the window holds hears nobody: that is not silence.
            if self._messages == seen and not self._is_full():
                break
        reader.cancel()
        try:
            async with asyncio.timeout(max(0.0, end - perf_counter())):
                await self._finished.wait()
        except TimeoutError:
            return

    async def _read(self) -> None:
        try:
            while (request := await self._wire.read()) is not None:
                self._messages += 1
                await self._accept(request)
                await self._has_room()
        finally:
            self._ink.end()
            self._ended = True
            self._wake_writer.set()

    def _is_full(self) -> bool:
        return self._in_flight >= self._limits.window

    async def _has_room(self) -> None:
        while self._is_full():
            self._room.clear()
            with self._metrics.held_streams.track_inprogress():
                await self._room.wait()

    async def _accept(self, request: StreamRecognizeRequest) -> None:
        kind = request.WhichOneof("request")
        if kind == "tensors":
            self._accept_tensors(request.tensors)
        elif kind == "ink":
            await self._ink.take(request.ink, self._has_room)
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
        due = _TensorsDue(arrival.items, arrived, self._options, self._metrics, arrival.errors)
        for group in arrival.groups:
            deadline = arrived + group.deadline_ms / 1000 if group.deadline_ms else None
            try:
                answer = self._batcher.submit(group.frames, self._flow, deadline=deadline)
            except Overloaded as full:
                due.errors += answers.refuse(group.sequences, full)
            else:
                due.blocks.append((group.sequences, answer))
        self._put(due)

    def _put(self, due: Due) -> None:
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
            await self._due[0].ready()
            response = StreamRecognizeResponse()
            items = 0
            while self._due and self._due[0].is_complete():
                due = self._due.popleft()
                due.append(response)
                items += due.items
            if not _says_something(response):
                # An interim was replaced while it waited, or its batch failed.
                self._leave(items)
                continue
            answers.finish_doubts(response.tensors, self._metrics)
            self._client.answer(response)
            self._writing_since = perf_counter()
            try:
                await self._wire.write(response)
                self._batcher.answer_written(perf_counter() - self._writing_since)
            finally:
                self._writing_since = inf
                self._leave(items)

    def _leave(self, items: int) -> None:
        self._in_flight -= items
        self._room.set()

    def _withdraw(self) -> None:
        """Cancel what will never be written, so that the batcher drops it."""
        for due in self._due:
            due.withdraw()
        self._due.clear()


def _says_something(response: StreamRecognizeResponse) -> bool:
    return bool(
        response.tensors or response.glyphs or response.errors or response.HasField("draining")
    )
