"""A stream that keeps sending at the rate of a device."""

from __future__ import annotations

import asyncio

import grpc

from tests.integration.contract import Stream
from tests.patience import eventually

BLANK = bytes(784)


class Steady:
    """A stream that sends one message after the other until `stop`, or until a drain notice."""

    def __init__(self, stream: Stream, *, heeds_draining: bool = True, frames: int = 8) -> None:
        self.stream = stream
        self.sent = 0
        self._heeds_draining = heeds_draining
        self._frames = frames
        self._stop = asyncio.Event()
        self._sender = asyncio.create_task(self._send())
        self._receiver = asyncio.create_task(self._receive())

    async def flows(self, items: int = 50) -> None:
        """Wait until this many more items have been answered."""
        wanted = len(self.stream.answers.order) + items
        await eventually("answers flow", lambda: len(self.stream.answers.order) >= wanted)

    def stop(self) -> None:
        self._stop.set()

    async def ended(self) -> None:
        """Wait until the stream is over."""
        await asyncio.gather(self._sender, self._receiver)

    async def _receive(self) -> None:
        try:
            await self.stream.receive_all()
        except grpc.aio.AioRpcError as error:
            # If the stream ends during a write, grpc.aio's client reports an internal error, which
            # hides the server's status. Only a caller that ignores the drain notice can meet it.
            if self._heeds_draining or error.code() is not grpc.StatusCode.INTERNAL:
                raise

    async def _send(self) -> None:
        answers = self.stream.answers
        while not self._stop.is_set() and not (self._heeds_draining and answers.draining):
            numbers = range(self.sent, self.sent + self._frames)
            try:
                await self.stream.send(sequences=numbers, uint8=BLANK * self._frames)
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                return  # The server ended the stream; the test checks the status.
            self.sent += self._frames
            await asyncio.sleep(0.002)  # Simulates the rate of a device.
        await self.stream.call.done_writing()
