"""One stream from its first message to its end: sends what waits, delivers answers, gives back the rest.

Leaves the content of messages to the outboxes and exchanges, and what follows the stream to `connection`. All
methods run in one event loop.
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
from inkstream._images.exchange import WIDEST_WINDOW, WINDOW_UNTIL_TOLD, Exchange, Refusal
from inkstream._images.outbox import Outbox
from inkstream._options.client import Options
from inkstream._pens.exchange import InkExchange
from inkstream._pens.outbox import InkOutbox
from inkstream.v1 import recognition_service_pb2 as wire

Call: TypeAlias = grpc.aio.StreamStreamCall[
    wire.StreamRecognizeRequest, wire.StreamRecognizeResponse
]

EXPIRY_SECONDS = 0.05
"""Seconds between two checks of deadlines while images wait and are not taken."""
_GATHERED = 64
"""Parcels and pens that are enough for one message, so that it waits for no more."""


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
        """Send nothing yet.

        Args:
            call: the gRPC call, not yet used.
            address: where it goes, for error messages.
            options: those of the client.
            outbox: images that wait.
            ink: ink that waits.
            work: set when there is something to send.
            on_refusals: called with frames that the server refused for now.
        """
        self._call = call
        self.address = address
        self._options = options
        self._outbox = outbox
        self._ink = ink
        self._work = work
        self._on_refusals = on_refusals
        self._images = Exchange(outbox, item_retries=options.retry_policy.item_retries)
        self._pens = InkExchange(ink)
        self._alarm: asyncio.TimerHandle | None = None
        self.draining = asyncio.Event()
        """Set when the server says that it drains: new items go to the next stream."""
        self.has_answered = False
        """Whether the server answered any item."""
        self.has_carried = False
        """Whether anything was sent."""

    async def open(self) -> None:
        """Send the configuration and wait for the server's answer. Call `close` even if it is cancelled.

        Raises:
            InkstreamError: the stream cannot be opened.
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
        self._images.window = min(opened.window or WINDOW_UNTIL_TOLD, WIDEST_WINDOW)
        self._images.max_frames_per_message = opened.max_frames_per_message or self.window

    async def run(self) -> None:
        """Use the stream until either side ends it. It may be cancelled.

        Raises:
            InkstreamError: the stream broke.
        """
        writing = asyncio.create_task(self._write(), name="inkstream writer")
        try:
            await self._read()
        except rpc_errors() as failed:
            raise from_status(failed, self.address, opened=True) from failed
        finally:
            self._call.cancel()
            writing.cancel()
            await asyncio.wait([writing])
            # A writer that fails cancels the call, so the reader sees only the cancellation.
            if not writing.cancelled() and (fault := writing.exception()) is not None:
                raise fault

    def close(self, error: InkstreamError | None = None) -> None:
        """End the stream and put what is unanswered back into the outboxes.

        Args:
            error: how the stream broke; None if it ended on purpose.
        """
        self._call.cancel()
        if self._alarm is not None:
            self._alarm.cancel()
        self._images.give_back(error, self._options.retry_policy.resends)
        self._pens.give_back(error, self._options.retry_policy.resends)

    def leave_ink(self) -> None:
        """Give unanswered ink to the stream that was opened after this one, which answers it."""
        self._pens.give_back()

    @property
    def has_unanswered(self) -> bool:
        """Whether the server still has to answer items."""
        return self._images.unanswered > 0 or self._pens.is_pending

    @property
    def window(self) -> int:
        """Frames that may be unanswered, as the server says."""
        return self._images.window

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
            # The call ended before the write; reading gives the reason.
            return await self._next()

    async def _write(self) -> None:
        """Send what waits; what comes during a write goes into the next message."""
        call, outbox, draining = self._call, self._outbox, self.draining
        ends_of_call: tuple[type[Exception], ...] = (*rpc_errors(), asyncio.InvalidStateError)
        try:
            while not draining.is_set():
                self._work.clear()
                if outbox.is_closed and not self._has_work():
                    break
                await self._gather()
                if draining.is_set():
                    break  # The next stream sends what waits.
                images = self._images.next_message(time.monotonic())
                self._watch_deadlines()
                if images is not None:
                    self.has_carried = True
                    await call.write(images)
                    if draining.is_set():
                        break
                ink = self._pens.next_message(at_once=outbox.is_closed)
                if ink is not None:
                    self.has_carried = True
                    await call.write(ink)
                # Packing drops abandoned items, so nothing may be left now.
                is_over = outbox.is_closed and not self._has_work()
                if images is None and ink is None and not is_over:
                    await self._rest(self._ink.seconds_left())
            await call.done_writing()
        except ends_of_call:
            # The call ended; the reader raises the reason.
            return
        except BaseException:
            call.cancel()
            raise

    def _watch_deadlines(self) -> None:
        """Fail images whose deadline passes while a write is stuck, or the window is full."""
        if self._alarm is None:
            loop = asyncio.get_running_loop()
            self._alarm = loop.call_later(EXPIRY_SECONDS, self._expire)

    def _expire(self) -> None:
        self._alarm = None
        if self._outbox:
            self._outbox.expire(time.monotonic())
            self._watch_deadlines()

    async def _gather(self) -> None:
        """Let callers add to the next message as long as every turn of the loop brings more.

        Callers that were answered together send their next items together, one after the other. A turn of
        the loop costs microseconds, a message of its own a quarter of a millisecond. Threads run meanwhile,
        because the loop releases the interpreter once a turn. (32 threads of `Client.recognize`: 5.5 k calls
        a second without this, 25 k with it.)
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

    async def _read(self) -> None:
        """Deliver answers until the server ends the stream."""
        while (response := await self._next()) is not None:
            if response.HasField("draining"):
                # Before the answers in the same message: the room that they make is for the next stream.
                self._pens.is_leaving = self._options.retry_policy.attempts != 0
                self.draining.set()
            self._images.receive(response)
            if response.glyphs or response.errors:
                self._pens.receive(response)
                if refusals := self._images.refusals:
                    self._images.refusals = []
                    self._on_refusals(refusals)
            if not self.has_answered:
                self.has_answered = bool(response.tensors or response.glyphs or response.errors)
            if self._has_work() or self.draining.is_set():
                self._work.set()

    async def _next(self) -> wire.StreamRecognizeResponse | None:
        """The next response; None if the server ended the stream without an error."""
        response = await self._call.read()
        return response if isinstance(response, wire.StreamRecognizeResponse) else None

    def _has_work(self) -> bool:
        return bool(self._outbox) or bool(self._ink)
