"""Holds a client's one long-lived stream: opens it when needed, writes, reads, ends it.

Lives in one event loop, and so do all its methods. What goes into messages is the business of
the outboxes and exchanges, one for tensors and one for ink.
"""

from __future__ import annotations

import asyncio
import time
from typing import TypeAlias

import grpc

from inkstream._exceptions import (
    ClientClosed,
    ConnectionLost,
    InkstreamError,
    ProtocolError,
    ServerDraining,
    from_status,
    unreachable,
)
from inkstream._exchange import Exchange
from inkstream._ink_exchange import InkExchange
from inkstream._ink_outbox import InkOutbox
from inkstream._options import Options
from inkstream._outbox import Outbox
from inkstream._results import Model
from inkstream.v1 import recognition_service_pb2 as wire
from inkstream.v1 import recognition_service_pb2_grpc as service

_Call: TypeAlias = grpc.aio.StreamStreamCall[
    wire.StreamRecognizeRequest, wire.StreamRecognizeResponse
]

WINDOW_UNTIL_TOLD = 1024
"""Frames that may be unanswered as long as no server has said how many it takes."""

_GATHERED = 64
"""Parcels and pens that fill a message well enough not to wait for more."""


class Connection:
    """One stream at a time to one address, from the first parcel or point on.

    When a stream breaks, everything unanswered fails with a RetryableError and the next parcel
    opens another stream.
    """

    def __init__(self, options: Options, outbox: Outbox, ink: InkOutbox) -> None:
        self._options = options
        self._outbox = outbox
        self._ink = ink
        self._channel: grpc.aio.Channel | None = None
        self._work = asyncio.Event()
        self._streaming: asyncio.Task[None] | None = None
        self._is_closing = False
        self._is_draining = False
        self.window = WINDOW_UNTIL_TOLD
        """Frames that the server lets one stream leave unanswered."""

    def wake(self) -> None:
        """Look at the outboxes: one of them said so."""
        self._work.set()
        if self._streaming is None:
            self._streaming = asyncio.create_task(self._stream(), name="inkstream stream")

    async def model(self) -> Model:
        """Ask the server to describe the model.

        Raises:
            InkstreamError: the server cannot be reached, or does not serve it.
        """
        if self._is_closing:
            raise ClientClosed("the client is closed: make a new one")
        request = wire.GetModelRequest(model=self._options.model)
        try:
            response = await self._stub().GetModel(
                request,
                timeout=self._options.connect_timeout,
                metadata=tuple(self._options.metadata),
            )
        except grpc.aio.AioRpcError as failed:
            raise from_status(failed, self._options.address) from failed
        return Model.from_wire(response.model)

    async def recognize(
        self, request: wire.RecognizeRequest, deadline: float | None
    ) -> wire.RecognizeResponse:
        """Make one unary call.

        Raises:
            InkstreamError: it failed as a whole.
        """
        if self._is_closing:
            raise ClientClosed("the client is closed: make a new one")
        try:
            response: wire.RecognizeResponse = await self._stub().Recognize(
                request, timeout=deadline, metadata=tuple(self._options.metadata)
            )
            return response
        except grpc.aio.AioRpcError as failed:
            raise from_status(failed, self._options.address) from failed

    async def close(self, grace: float) -> None:
        """Wait up to `grace` seconds for what is unanswered, fail the rest and disconnect.

        Cancelling it disconnects at once.
        """
        self._is_closing = True
        self._outbox.close()
        self._ink.close()
        streaming = self._streaming
        try:
            if streaming is not None:
                self._work.set()
                await asyncio.wait([streaming], timeout=grace)
        finally:
            if streaming is not None and not streaming.done():
                streaming.cancel()
                await asyncio.wait([streaming])
            self._fail_waiting(ClientClosed("the client was closed before it was sent"))
            if self._channel is not None:
                await self._channel.close()
                self._channel = None

    def _stub(self) -> service.RecognitionServiceStub:
        if self._channel is None:
            self._channel = self._options.open_channel()
        return service.RecognitionServiceStub(self._channel)

    async def _stream(self) -> None:
        """Open streams one after the other as long as there is something to send."""
        try:
            while not (self._outbox.rest() and self._ink.seconds_left() is None):
                await self._one_stream()
        except InkstreamError as error:
            self._fail_waiting(error)
        except BaseException:
            self._fail_waiting(_closed())
            raise
        finally:
            self._streaming = None

    async def _one_stream(self) -> None:
        """Open a stream and use it until either side ends it."""
        call: _Call = self._stub().StreamRecognize(metadata=tuple(self._options.metadata))
        exchange: Exchange | None = None
        pens = InkExchange(self._ink)
        writing: asyncio.Task[None] | None = None
        failure: InkstreamError = _closed()
        self._is_draining = False
        try:
            exchange = await self._open(call)
            writing = asyncio.create_task(
                self._write(call, exchange, pens), name="inkstream writer"
            )
            await self._read(call, exchange, pens)
            failure = ConnectionLost(
                f"{self._options.address} ended the stream before it had answered everything; "
                "send again what was not answered"
            )
            if self._has_work() and exchange.is_unused and pens.is_unused:
                raise ServerDraining(f"{self._options.address} takes nothing any more")
        except grpc.aio.AioRpcError as failed:
            failure = from_status(failed, self._options.address, opened=exchange is not None)
            raise failure from failed
        except InkstreamError as error:
            failure = error
            raise
        finally:
            call.cancel()
            if writing is not None:
                writing.cancel()
                await asyncio.wait([writing])
            if exchange is not None:
                exchange.fail(failure)
            pens.fail(failure)

    async def _open(self, call: _Call) -> Exchange:
        """Send the configuration and wait for the server's."""
        config = wire.StreamRecognizeRequest(config=self._options.stream_config())
        seconds = self._options.connect_timeout
        try:
            async with asyncio.timeout(seconds):
                await call.write(config)
                response = await _next(call)
        except TimeoutError as late:
            raise unreachable(self._options.address, f"silent for {seconds:g} s") from late
        except asyncio.InvalidStateError:
            # The call was over before the write: reading says why.
            response = await _next(call)
        if response is None:
            raise ConnectionLost(
                f"{self._options.address} ended the stream before it had opened it; "
                "it may be stopping, so try again"
            )
        if not response.HasField("opened"):
            raise ProtocolError(
                f"{self._options.address} did not open the stream; is it an inkstream server?"
            )
        opened = response.opened
        self.window = opened.window or WINDOW_UNTIL_TOLD
        return Exchange(
            self._outbox,
            window=self.window,
            max_frames_per_message=opened.max_frames_per_message or self.window,
        )

    async def _write(self, call: _Call, exchange: Exchange, pens: InkExchange) -> None:
        """Send what waits; what comes while a write is under way goes into the next message."""
        try:
            while True:
                self._work.clear()
                if self._is_draining or (self._is_closing and not self._has_work()):
                    await call.done_writing()
                    return
                await self._gather()
                images = exchange.next_message(time.monotonic())
                if images is not None:
                    await call.write(images)
                ink = pens.next_message(at_once=self._is_closing)
                if ink is not None:
                    await call.write(ink)
                if images is None and ink is None:
                    await self._rest(self._ink.seconds_left())
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            # The call is over. The reader learns why, and tells.
            return
        except BaseException:
            call.cancel()
            raise

    async def _rest(self, seconds: float | None) -> None:
        """Wait for work, or until ink that waits is due."""
        if seconds is None or self._is_closing:
            await self._work.wait()
            return
        alarm = asyncio.get_running_loop().call_later(seconds, self._work.set)
        try:
            await self._work.wait()
        finally:
            alarm.cancel()

    def _has_work(self) -> bool:
        return bool(self._outbox) or bool(self._ink)

    def _fail_waiting(self, error: InkstreamError) -> None:
        self._outbox.fail(error)
        self._ink.fail(error)

    async def _gather(self) -> None:
        """Let others add to the next message as long as every turn of the loop brings more.

        Callers that were answered together come back together, one after the other: a turn costs
        them microseconds, a message of their own a quarter of a millisecond. Threads get the
        interpreter meanwhile, because the loop lets go of it once a turn. (32 threads of
        `Client.recognize`: 5.5 k calls a second without it, 25 k with it.)
        """
        waiting = 0
        while waiting < (now := len(self._outbox) + len(self._ink)) < _GATHERED:
            waiting = now
            await asyncio.sleep(0)

    async def _read(self, call: _Call, exchange: Exchange, pens: InkExchange) -> None:
        """Hand out answers until the server has no more."""
        while (response := await _next(call)) is not None:
            exchange.receive(response)
            if response.glyphs or response.errors:
                pens.receive(response)
            if response.HasField("draining"):
                # What is in the outbox goes to the next stream, elsewhere by then.
                self._is_draining = True
            if self._has_work() or self._is_draining:
                self._work.set()


async def _next(call: _Call) -> wire.StreamRecognizeResponse | None:
    """The next response; None where the server ended the stream well."""
    response = await call.read()
    return response if isinstance(response, wire.StreamRecognizeResponse) else None


def _closed() -> ClientClosed:
    return ClientClosed("the client was closed before the answer came")
