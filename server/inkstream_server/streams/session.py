"""Reads the messages of one stream and turns each into replies. The outbox writes them.

Knows messages and the batcher; of gRPC only that it can read and write.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

from inkstream.v1 import tensor_pb2
from inkstream.v1.recognition_service_pb2 import Draining, StreamConfig

from inkstream_server.access.allowance import Allowance
from inkstream_server.batching.batcher import Batcher
from inkstream_server.batching.blocks import StreamFlow
from inkstream_server.batching.fair_queue import Flow
from inkstream_server.clock import Clock
from inkstream_server.limits.memory_book import UNLIMITED, Account
from inkstream_server.limits.turns import Lane, Steps
from inkstream_server.metrics.items import Metrics
from inkstream_server.pens.ink_session import InkSession
from inkstream_server.pens.resources import InkResources
from inkstream_server.streams.ends import MemoryShort, ProtocolViolation, ReaderStalled, StreamCut
from inkstream_server.streams.outbox import Outbox
from inkstream_server.streams.tensor_reply import ration, reply_to, size_of
from inkstream_server.wire import tensors
from inkstream_server.wire.answer_options import AnswerOptions
from inkstream_server.wire.fields import Malformed
from inkstream_server.wire.ink_pieces import PIECE_BYTES
from inkstream_server.wire.requests import read_request

DRAIN_IDLE_SECONDS = 0.25
"""How long a draining stream may bring no message before the server ends it: five packets of a live pen."""

AT_ONCE_FRAMES = 64
"""Messages of more frames wait for the stream's turn: one of 1,024 can take 20 ms."""

LAST_OPERATIONS_SECONDS = 1.0
"""How long a read and a write may take to return when their call is over; they return at once."""

LAST_ANSWERS_SECONDS = 1.0
"""The end of the grace, in which the server no longer reads a stream but answers it; half the grace at
most."""


class Wire(Protocol):
    """The two directions of a stream."""

    async def read(self) -> bytes | None:
        """Give the next `StreamRecognizeRequest` as bytes; None if the caller has half-closed or is gone."""

    def write(self, message: bytes) -> Coroutine[Any, Any, None]:
        """Hand a serialised `StreamRecognizeResponse` to the transport, one at a time.

        Waits while the caller does not keep up.
        """


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one stream."""

    window: int
    """Most items unanswered at once; the server does not read a stream that has more."""
    max_frames_per_message: int
    """Most frames in one message."""


class Session:
    """A stream after its configuration.

    A reader puts replies into the outbox, and a writer takes them out. When the outbox is idle and the
    batcher computes a message at once, the reader starts the write itself, in the turn of the loop in which
    the message came.
    """

    def __init__(
        self,
        wire: Wire,
        batcher: Batcher,
        metrics: Metrics,
        options: AnswerOptions,
        limits: Limits,
        resources: InkResources | None = None,
        clock: Clock | None = None,
        client_label: str = "",
        allowance: Allowance | None = None,
        account: Account | None = None,
        opening: bytes = b"",
    ) -> None:
        """Prepare.

        Args:
            wire: the stream.
            batcher: computes.
            metrics: counts.
            options: what answers to tensors hold.
            limits: bounds on the stream.
            resources: what the pens of all streams share; None for defaults and a renderer of its own.
            clock: tells the quiet times of pens; None for the event loop's.
            client_label: names the caller's kind of device in metrics.
            allowance: how many items the caller may send; None for any number.
            account: counts what the stream holds; None for no limit.
            opening: a serialised `StreamRecognizeResponse` that goes before all answers; empty for none.
        """
        self._wire = wire
        self._batcher = batcher
        self._metrics = metrics
        self._options = options if options != AnswerOptions() else None
        self._limits = limits
        self._client = metrics.clients.of(client_label)
        self._last_sequence = -1
        self._allowance = allowance
        self._account = account = account or Account(UNLIMITED)
        self._flow: StreamFlow = Flow()
        self._outbox = Outbox(
            wire.write,
            limits.window,
            metrics,
            self._client,
            batcher.dispatcher.admission.written,
            account,
            opening,
        )
        resources = resources or InkResources.over(batcher, metrics)
        self._lane = Lane(resources.turns)
        account.end = self.end_for_memory
        self._ink = InkSession(
            resources, self._outbox.put, clock, self._flow, self._lane, allowance, account
        )
        self.messages = 0
        """How many messages were read."""
        self._finished = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._cut: StreamCut | None = None
        self._was_cut = False
        self._is_over = False
        self._is_taking = False

    @property
    def has_unanswered(self) -> bool:
        """Whether anything is unanswered, or not yet written."""
        return not self._outbox.is_empty

    @property
    def was_cut(self) -> bool:
        """Whether the server stopped reading before the caller had half-closed."""
        return self._was_cut or (self._reader is not None and self._reader.cancelled())

    async def run(self) -> None:
        """Serve the stream until its caller half-closes and everything is answered.

        Cancelling withdraws what was not computed yet; other streams notice nothing.

        Raises:
            ProtocolViolation: after everything before it was answered.
            StreamCut: after `end_if_stalled`, or `end_for_memory`, ended it.
        """
        self._task = asyncio.current_task()
        reader = self._reader = asyncio.create_task(self._read())
        writer = asyncio.create_task(self._outbox.run())
        try:
            with self._client.streaming():
                await asyncio.wait([writer])
            writer.result()
            if not reader.cancelled():
                reader.result()
        except asyncio.CancelledError:
            if self._cut is None:
                raise
            # Not the same exception: its traceback would lead back to the session, and keep the call alive.
            raise type(self._cut)(*self._cut.args) from None
        finally:
            await self._end(reader, writer)
            self._was_cut = reader.cancelled()
            self._task = self._reader = None
            self._finished.set()

    async def _end(self, *tasks: asyncio.Task[None]) -> None:
        """Withdraw what was not answered, and end the reader and the writer.

        If the call is over, their read and write return at once. They are not cancelled before that, because
        gRPC does not free a cancelled operation (grpc#43360): some hundred bytes for each caller that leaves.
        If the server itself ends the call, it is not over yet, and they would not return.
        """
        self._is_over = True
        self._outbox.close()
        if self._is_taking:
            # The reader is at work, not in a read; what is left of it is dropped.
            tasks[0].cancel()
        if self._cut is None and not self.was_cut:
            await asyncio.wait(tasks, timeout=LAST_OPERATIONS_SECONDS)
        for task in tasks:
            task.cancel()
        # The call is over: no caller is left for what they raise.
        await asyncio.gather(*tasks, return_exceptions=True)
        self._ink.end(self._outbox.end)  # A reader that had not begun has not said so.
        await self._ink.ended()
        self._outbox.give_up()

    def end_if_stalled(self, limit: float, now: float) -> None:
        """End the stream if its caller has not read an answer for too long.

        Until then the window bounds how much memory such a stream holds.

        Args:
            limit: longest time of one write, in seconds.
            now: on the clock of `time.perf_counter`, in seconds.
        """
        waited = self._outbox.held_seconds(now)
        if waited > limit:
            self._end_for(
                ReaderStalled(
                    f"the caller has read no answer for {waited:.1f} s: the stream is ended"
                )
            )

    def end_for_memory(self, reason: str) -> None:
        """End the stream without its answers, because the process needs what it holds."""
        self._end_for(MemoryShort(reason))

    def _end_for(self, cut: StreamCut) -> None:
        if self._cut is None and self._task is not None:
            self._cut = cut
            self._task.cancel()

    async def drain(self, grace_seconds: float) -> None:
        """Send the drain notice; stop reading when the caller half-closes or pauses, or when time is up.

        Returns when `run` has answered what was read until then, or when the grace is over.
        """
        reader = self._reader
        if reader is None:
            return
        self._outbox.announce(Draining(grace_ms=round(grace_seconds * 1000)))
        end = perf_counter() + grace_seconds
        read_until = end - min(LAST_ANSWERS_SECONDS, grace_seconds / 2)
        while not reader.done() and (left := read_until - perf_counter()) > 0:
            seen = self.messages
            await asyncio.wait([reader], timeout=min(DRAIN_IDLE_SECONDS, left))
            # A reader that waits for room or for its turn reads nothing, which says nothing about the caller.
            if self.messages == seen and not (self._is_taking or self._outbox.is_full):
                break
        reader.cancel()
        try:
            async with asyncio.timeout(max(0.0, end - perf_counter())):
                await self._finished.wait()
        except TimeoutError:
            return

    async def _read(self) -> None:
        outbox = self._outbox

        def is_full() -> bool:
            return outbox.is_full

        try:
            while (message := await self._wire.read()) is not None and not self._is_over:
                self.messages += 1
                request, size = read_request(message), len(message)
                # Ink that is not parsed yet holds the message; nothing else may, while it waits.
                del message
                if isinstance(request, tensor_pb2.Tensors):
                    if len(request.sequences) <= AT_ONCE_FRAMES:
                        arrived = perf_counter()
                        self._accept(self._read_tensors(request), arrived)
                    else:
                        # The only reference: the frames are copied out of it, and then it is freed.
                        large, request = [request], None
                        await self._take(
                            self._lane.do(self._accept_parts(large, perf_counter())), size
                        )
                elif isinstance(request, StreamConfig):
                    raise ProtocolViolation("config: only the first message may carry it")
                elif request is None:
                    raise ProtocolViolation(
                        "request: expected tensors or ink, got an empty message"
                    )
                else:
                    await self._take(
                        self._ink.take(request, is_full, outbox.has_room),
                        size if size > PIECE_BYTES else 0,
                    )
                del request
                if outbox.is_full:
                    await outbox.has_room()
        except Malformed as wrong:
            raise ProtocolViolation(
                f"request: expected a StreamRecognizeRequest, but {wrong}"
            ) from None
        finally:
            self._ink.end(self._outbox.end)

    async def _take(self, work: Coroutine[Any, Any, None], size: int) -> None:
        """Do work on a message in the turns of the stream, and count so many bytes of it until it is done."""
        self._account.hold("messages", size)
        self._is_taking = True
        try:
            await work
        finally:
            self._is_taking = False
            self._account.hold("messages", -size)

    def _accept_parts(self, images: list[tensor_pb2.Tensors], arrived: float) -> Steps:
        """Take the one message out of the list, and submit its frames, a part of it a step."""
        arrival = self._read_tensors(images.pop())
        yield False
        for part in arrival.parts():
            self._accept(part, arrived)
            yield False

    def _read_tensors(self, message: tensor_pb2.Tensors) -> tensors.Arrival:
        try:
            most = self._limits.max_frames_per_message
            arrival = tensors.read(message, after=self._last_sequence, max_frames=most)
        except tensors.TooManyFrames as excess:
            raise ProtocolViolation(str(excess)) from excess
        self._last_sequence = arrival.last_sequence
        if self._allowance is not None:
            arrival.errors += ration(arrival, self._allowance)
        return arrival

    def _accept(self, arrival: tensors.Arrival, arrived: float) -> None:
        # Raises if an eager write has failed. Nothing is counted as accepted after that.
        is_idle = self._outbox.is_idle()
        self._metrics.accepted("tensor", arrival.items)
        last = self._outbox.last
        reply = reply_to(
            arrival,
            arrived,
            self._batcher,
            self._metrics,
            self._options,
            self._flow,
            last=last,
            at_once=is_idle,
        )
        if reply is last:
            self._outbox.grow(reply, arrival.items, size_of(arrival))
        elif is_idle and reply.is_complete():
            self._outbox.write_now(reply)
        else:
            self._outbox.put(reply)
