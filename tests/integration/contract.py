"""Calls a server with the generated stubs alone, without the client library."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
from inkstream.v1 import error_pb2, ink_pb2, tensor_pb2
from inkstream.v1 import recognition_service_pb2 as pb
from inkstream.v1.recognition_service_pb2_grpc import RecognitionServiceStub

from tests.patience import PATIENCE_SECONDS

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
"""The trace of `call_within_a_trace`."""


@asynccontextmanager
async def stub(address: str) -> AsyncIterator[Any]:
    """A stub on its own connection."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        yield RecognitionServiceStub(channel)


class Answers:
    """The answers on a stream, item by item."""

    def __init__(self) -> None:
        self.order: list[int] = []
        self.digits: dict[int, int] = {}
        self.errors: dict[int, error_pb2.ItemError] = {}
        self.draining = False
        self.responses: list[pb.StreamRecognizeResponse] = []

    def add(self, response: pb.StreamRecognizeResponse) -> None:
        self.responses.append(response)
        self.draining |= response.HasField("draining")
        for group in response.tensors:
            for sequence, digit in zip(group.sequences, group.digits, strict=True):
                assert sequence not in self.digits, f"{sequence} was answered twice"
                self.digits[sequence] = digit
                self.order.append(sequence)
        for error in response.errors:
            self.errors[error.sequence] = error
            self.order.append(error.sequence)


class Stream:
    """One StreamRecognize call; `open_stream` makes it."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.answers = Answers()

    async def send(self, **columns: Any) -> None:
        await self.call.write(pb.StreamRecognizeRequest(tensors=tensor_pb2.Tensors(**columns)))

    async def receive(self) -> pb.StreamRecognizeResponse | None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            response = await self.call.read()
        if response is grpc.aio.EOF:
            return None
        self.answers.add(response)
        found: pb.StreamRecognizeResponse = response
        return found

    async def receive_until(self, items: int) -> Answers:
        """Read until this many items have been answered."""
        while len(self.answers.order) < items:
            assert await self.receive() is not None, f"ended after {len(self.answers.order)} items"
        return self.answers

    async def finish(self) -> Answers:
        """Half-close, and read to the end."""
        await self.call.done_writing()
        return await self.receive_all()

    async def receive_all(self) -> Answers:
        while await self.receive() is not None:
            pass
        return self.answers

    async def code(self) -> grpc.StatusCode:
        async with asyncio.timeout(PATIENCE_SECONDS):
            code: grpc.StatusCode = await self.call.code()
        return code


async def open_stream(service: Any, **options: Any) -> Stream:
    """Open a stream and wait until the server has accepted its configuration."""
    call = service.StreamRecognize()
    answers = tensor_pb2.AnswerOptions(**options)
    await call.write(pb.StreamRecognizeRequest(config=pb.StreamConfig(answers=answers)))
    stream = Stream(call)
    first = await stream.receive()
    assert first is not None
    assert first.HasField("opened")
    return stream


async def recognize_all(
    address: str, frames: npt.NDArray[np.uint8], first: int = 0, **options: Any
) -> Answers:
    """Send frames in one message on a new stream."""
    async with stub(address) as service:
        stream = await open_stream(service, **options)
        await stream.send(sequences=range(first, first + len(frames)), uint8=frames.tobytes())
        return await stream.finish()


async def call_within_a_trace(address: str, sampled: str = "01") -> None:
    """Send two images on a stream and an ink in a unary call, all within `TRACE`."""
    async with stub(address) as service:
        metadata = [("traceparent", f"00-{TRACE}-00f067aa0ba902b7-{sampled}")]
        stream = Stream(service.StreamRecognize(metadata=metadata))
        await stream.call.write(pb.StreamRecognizeRequest(config=pb.StreamConfig()))
        for sequence in (1, 2):
            await stream.send(sequences=[sequence], uint8=np.full(784, 9, np.uint8).tobytes())
            await stream.receive_until(sequence)
        await stream.finish()
        points = ink_pb2.Points(dx=[0, 100, 100], dy=[0, 100, 300])
        ink = ink_pb2.Ink(strokes=[points])
        await service.Recognize(pb.RecognizeRequest(ink=ink), metadata=metadata)
        # Has no trace of its own.
        await service.GetModel(pb.GetModelRequest())
