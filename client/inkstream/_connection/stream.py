"""One stream from its configuration to its end: writes what waits, hands out what comes, gives back the rest.

Lives in one event loop, and so do all its methods. What goes into messages is the business of the
outboxes and exchanges, one for tensors and one for ink; what comes after the stream, of `_connection`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeAlias

import grpc

from inkstream._exceptions import (
    ConnectionLost,
    InkstreamError,
    ProtocolError,
    from_status,
    unreachable,
)
from inkstream._fork import rpc_errors
from inkstream._images.exchange import Exchange, Refusal
from inkstream._images.outbox import Outbox
from inkstream._options.client import Options
from inkstream._pens.exchange import InkExchange
from inkstream._pens.outbox import InkOutbox
from inkstream.v1 import recognition_service_pb2 as wire

Call: TypeAlias = grpc.aio.StreamStreamCall[
    wire.StreamRecognizeRequest, wire.StreamRecognizeResponse
]

WINDOW_UNTIL_TOLD = 1024
"""Frames that may be unanswered as long as no server has said how many it takes."""

_GATHERED = 64
"""Parcels and pens that fill a message well enough not to wait for more."""


class StreamCall:
    """One stream to one address. Used once: `open`, `run`, `close`."""

    def __init__(
        self,
        call: Call,
        address: str,
        options: Options,
        outbox: Outbox,
        ink: InkOutbox,
        work: asyncio.Event,
        on_refusals: Callable[[list[Refusal]], object],
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            call: the stream, just made.
            address: where it goes, for messages.
            options: what the client was told.
            outbox: tensors that wait.
            ink: ink that waits.
            work: set when there is something to write.
            on_refusals: takes frames that the server refused for now.
        """
        self._call = call
        self.address = address
        self._options = options
        self._outbox = outbox
        self._ink = ink
        self._work = work
        self._on_refusals = on_refusals
        self._exchange: Exchange | None = None
        self._pens = InkExchange(ink)
        self.leaving = asyncio.Event()
        """Set when the server says that new items belong elsewhere."""
        self.window = WINDOW_UNTIL_TOLD
        """Frames that the server lets the stream leave unanswered."""
        self.has_answered = False
        """Whether anything was answered: the stream has been of use."""
        self.has_carried = False
        """Whether anything was sent."""

    async def open(self) -> None:
        """Send the configuration and wait for the server's. Cancelling it needs `close` all the same.

        Raises:
            InkstreamError: the stream is not to be had.
        """
        try:
            response = await self._first_response()
        except rpc_errors() as failed:
            raise from_status(failed, self.address) from failed
        if response is None:
            raise ConnectionLost(
                f"{self.address} ended the stream before it had opened it; "
                "it may be stopping, so try again"
            )
        if not response.HasField("opened"):
            raise ProtocolError(
                f"{self.address} did not open the stream; is it an inkstream server?"
            )
        opened = response.opened
        self.window = opened.window or WINDOW_UNTIL_TOLD
        self._exchange = Exchange(
            self._outbox,
            window=self.window,
            max_frames_per_message=opened.max_frames_per_message or self.window,
            item_retries=self._options.retry_policy.item_retries,
        )

    async def run(self) -> None:
        """Use the stream until either side ends it. Cancelling it is fine; so is `leaving` it.

        Raises:
            InkstreamError: it broke.
        """
        assert self._exchange is not None, "open comes first"
        writing = asyncio.create_task(self._write(self._exchange), name="inkstream writer")
        try:
            await self._read(self._exchange)
        except rpc_errors() as failed:
            raise from_status(failed, self.address, opened=True) from failed
        finally:
            self._call.cancel()
            writing.cancel()
            await asyncio.wait([writing])
            # A writer that fails cancels the call, so that all the reader knows is that it was cancelled.
            if not writing.cancelled() and (fault := writing.exception()) is not None:
                raise fault

    def close(self, wreck: InkstreamError | None = None) -> None:
        """End the stream; what is unanswered goes back to where it came from.

        Args:
            wreck: how it broke; None where it was ended on purpose.
        """
        self._call.cancel()
        if self._exchange is not None:
            self._exchange.give_back(wreck, self._options.retry_policy.resends)
        self._pens.give_back(wreck, self._options.retry_policy.resends)

    def leave_ink(self) -> None:
        """Another stream is open: it is told what the pens wrote and gives the answers."""
        self._pens.give_back()

    @property
    def is_owing(self) -> bool:
        """Whether answers are due."""
        exchange = self._exchange
        return (exchange is not None and exchange.unanswered > 0) or self._pens.is_owing

    async def _first_response(self) -> wire.StreamRecognizeResponse | None:
        config = wire.StreamRecognizeRequest(config=self._options.stream_config())
        seconds = self._options.connect_timeout
        try:
            async with asyncio.timeout(seconds):
                await self._call.write(config)
                return await self._next()
        except TimeoutError as late:
            raise unreachable(self.address, f"silent for {seconds:g} s") from late
        except asyncio.InvalidStateError:
            # The call was over before the write: reading says why.
            return await self._next()

    async def _write(self, exchange: Exchange) -> None:
        """Send what waits; what comes while a write is under way goes into the next message."""
        call, outbox = self._call, self._outbox
        leaving = self.leaving
        ends_of_call: tuple[type[Exception], ...] = (*rpc_errors(), asyncio.InvalidStateError)
        try:
            while not leaving.is_set():
                self._work.clear()
                if outbox.is_closed and not self._has_work():
                    break
                await self._gather()
                if leaving.is_set():
                    break  # What waits is for the next stream.
                images = exchange.next_message(time.monotonic())
                if images is not None:
                    self.has_carried = True
                    await call.write(images)
                    if leaving.is_set():
                        break
                ink = self._pens.next_message(at_once=outbox.is_closed)
                if ink is not None:
                    self.has_carried = True
                    await call.write(ink)
                # Packing drops what nobody waits for any more: that may have been the last of it.
                is_over = outbox.is_closed and not self._has_work()
                if images is None and ink is None and not is_over:
                    await self._rest(self._ink.seconds_left())
            await call.done_writing()
        except ends_of_call:
            # The call is over. The reader learns why, and tells.
            return
        except BaseException:
            call.cancel()
            raise

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

    async def _rest(self, seconds: float | None) -> None:
        """Wait for work, or until ink that waits is due."""
        if seconds is None or self._outbox.is_closed:
            await self._work.wait()
            return
        alarm = asyncio.get_running_loop().call_later(seconds, self._work.set)
        try:
            await self._work.wait()
        finally:
            alarm.cancel()

    async def _read(self, exchange: Exchange) -> None:
        """Hand out answers until the server has no more."""
        while (response := await self._next()) is not None:
            if response.HasField("draining"):
                # Before the answers beside it: what they free is for the next stream.
                self._pens.is_leaving = self._options.retry_policy.attempts != 0
                self.leaving.set()
            exchange.receive(response)
            if response.glyphs or response.errors:
                self._pens.receive(response)
                if exchange.refusals:
                    refusals, exchange.refusals = exchange.refusals, []
                    self._on_refusals(refusals)
            if not self.has_answered:
                self.has_answered = bool(response.tensors or response.glyphs or response.errors)
            if self._has_work() or self.leaving.is_set():
                self._work.set()

    async def _next(self) -> wire.StreamRecognizeResponse | None:
        """The next response; None where the server ended the stream well."""
        response = await self._call.read()
        return response if isinstance(response, wire.StreamRecognizeResponse) else None

    def _has_work(self) -> bool:
        return bool(self._outbox) or bool(self._ink)
