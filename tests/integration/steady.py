"""A stream that keeps sending at the pace of a device, whatever happens to its server."""

from __future__ import annotations

import asyncio

import grpc

from tests.integration.contract import Stream
from tests.patience import eventually

BLANK = bytes(784)


class Steady:
    """A stream that sends one message after the other until it is told to stop, or to go elsewhere."""

    def __init__(self, stream: Stream, *, heeds_draining: bool = True, frames: int = 8) -> None:
        self.stream = stream
        self.sent = 0
        self._heeds_draining = heeds_draining
        self._frames = frames
        self._stop = asyncio.Event()
        self._sender = asyncio.create_task(self._send())
        self._receiver = asyncio.create_task(self._receive())

    async def flows(self, items: int = 50) -> None:
        """Wait until so many items more have been answered."""
        wanted = len(self.stream.answers.order) + items
        await eventually("answers flow", lambda: len(self.stream.answers.order) >= wanted)

    def stop(self) -> None:
        self._stop.set()

    async def ended(self) -> None:
        """Wait until the stream is over, whoever ended it."""
        await asyncio.gather(self._sender, self._receiver)

    async def _receive(self) -> None:
        try:
            await self.stream.receive_all()
        except grpc.aio.AioRpcError as error:
            # A write that the stream's end overtakes is an internal error to grpc.aio's client, and then
            # hides the status that the server gave; only a caller who does not heed can meet it.
            if self._heeds_draining or error.code() is not grpc.StatusCode.INTERNAL:
                raise

    async def _send(self) -> None:
        answers = self.stream.answers
        while not self._stop.is_set() and not (self._heeds_draining and answers.draining):
            numbers = range(self.sent, self.sent + self._frames)
            try:
                await self.stream.send(sequences=numbers, uint8=BLANK * self._frames)
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                return  # The server ended the stream; what it says of it is for the test to judge.
            self.sent += self._frames
            await asyncio.sleep(0.002)  # The pace of a device, not a wait for anything.
        await self.stream.call.done_writing()
