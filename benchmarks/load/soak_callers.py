"""The callers of a soak: images, pens, connects, cancels, bad input and new models, repeated."""

import asyncio
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path

import grpc
import numpy as np
from inkstream import AsyncClient, GlyphResult, InkstreamError
from inkstream.ink import Ink
from inkstream.v1 import recognition_service_pb2 as wire
from inkstream.v1 import tensor_pb2
from inkstream.v1.recognition_service_pb2_grpc import RecognitionServiceStub

from benchmarks.load.digits import Digits, Wrong

PACE_SECONDS = 0.02
"""Between two rounds of a caller. Together they keep a third of a core busy, so nothing is rejected."""

SWAP_SECONDS = 10.0
"""Between two versions of the model."""


class Callers:
    """All callers of a soak, and their counts."""

    def __init__(self, address: str, digits: Digits, inks: list[Ink], store: Path) -> None:
        """Prepare the callers.

        Args:
            address: of the server.
            digits: the images to send.
            inks: the ink to write.
            store: the server's folder of models, where versions are added and removed.
        """
        self._address = address
        self._digits = digits
        self._inks = inks
        self._store = store
        self._stop = asyncio.Event()
        self.done: Counter[str] = Counter()
        """Rounds by the name of the caller."""
        self.finals = 0
        """Glyphs that were written to their end and answered."""

    def stop(self) -> None:
        """Let every caller finish its round and end."""
        self._stop.set()

    async def run(self) -> None:
        """Call until `stop`.

        Raises:
            Wrong: an answer was missing, or came twice.
        """
        async with asyncio.TaskGroup() as group:
            for act in (
                self._stream_images,
                self._write,
                self._connect,
                self._cancel,
                self._send_rubbish,
                self._ask_once,
            ):
                group.create_task(self._repeat(act, PACE_SECONDS))
            group.create_task(self._repeat(self._swap, SWAP_SECONDS))

    async def _repeat(self, act: Callable[[int], Awaitable[None]], pause: float) -> None:
        for turn in count():
            await act(turn)
            self.done[act.__name__.strip("_")] += 1
            try:
                async with asyncio.timeout(pause):
                    await self._stop.wait()
                return
            except TimeoutError:
                continue

    async def _stream_images(self, turn: int) -> None:
        """Stream 640 images over a new connection."""
        first = turn * 640 % len(self._digits.images)
        images = self._digits.images[first : first + 640]
        async with AsyncClient(self._address, top_k=3) as client:
            answers = [result.digit async for result in client.stream(images)]
        if len(answers) != len(images):
            raise Wrong(f"{len(images)} images were sent, {len(answers)} answers came")

    async def _write(self, turn: int) -> None:
        """Write with four pens at once, a digit each; the last leaves in the middle of its digit."""
        async with AsyncClient(self._address) as client:
            inks = [self._inks[(4 * turn + pen) % len(self._inks)] for pen in range(4)]
            answered = await asyncio.gather(*(self._write_one(client, ink) for ink in inks[:3]))
            gone = client.pen(y="up")
            gone.stroke(inks[3].arrays()[0][:5, :2])
        finals = sum(len(results) for results in answered)
        if finals != len(answered):
            raise Wrong(f"{len(answered)} digits were written, {finals} final answers came")
        self.finals += finals

    async def _write_one(self, client: AsyncClient, ink: Ink) -> list[GlyphResult]:
        async with client.pen(y="up", interims_per_second=20) as pen:
            for stroke in ink.arrays():
                pen.stroke(stroke[:, :2])
            pen.end_glyph()
        return [result async for result in pen if result.is_final]

    async def _connect(self, turn: int) -> None:
        """Connect, send one image, and leave."""
        async with AsyncClient(self._address, client_label=f"device-{turn % 5}") as client:
            await client.recognize(self._digits.images[turn % len(self._digits.images)])

    async def _cancel(self, turn: int) -> None:
        """Cancel with answers in flight, where grpc#43360 leaks."""
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(self._address, options=options) as channel:
            call = RecognitionServiceStub(channel).StreamRecognize()
            await call.write(wire.StreamRecognizeRequest(config=wire.StreamConfig()))
            await call.read()
            for message in range(1 + turn % 3):
                tensors = tensor_pb2.Tensors(
                    sequences=range(64 * message, 64 * message + 64),
                    uint8=self._digits.pixels(64 * message, 64),
                )
                await call.write(wire.StreamRecognizeRequest(tensors=tensors))
            call.cancel()

    async def _send_rubbish(self, turn: int) -> None:
        """Send bad pixels, floats and numbers."""
        bad = [
            tensor_pb2.Tensors(sequences=[1, 2], uint8=bytes(784)),
            tensor_pb2.Tensors(sequences=[3], float32=np.full(784, np.nan, "<f4").tobytes()),
            tensor_pb2.Tensors(sequences=[3], uint8=bytes(784)),
        ]
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(self._address, options=options) as channel:
            call = RecognitionServiceStub(channel).StreamRecognize()
            await call.write(wire.StreamRecognizeRequest(config=wire.StreamConfig()))
            await call.read()
            for tensors in bad:
                await call.write(wire.StreamRecognizeRequest(tensors=tensors))
            if turn % 2:
                await call.write(
                    wire.StreamRecognizeRequest()
                )  # The server ends the stream with a status.
            await call.done_writing()
            try:
                while await call.read() is not grpc.aio.EOF:
                    pass
            except grpc.aio.AioRpcError:
                return

    async def _ask_once(self, turn: int) -> None:
        """Make unary calls: images, ink and the model."""
        async with AsyncClient(self._address) as client:
            await client.recognize_ink(self._inks[turn % len(self._inks)])
            await client.model()
            try:
                await client.recognize(self._digits.images[:8], deadline=0.000_01)
            except InkstreamError:
                return

    async def _swap(self, turn: int) -> None:
        """Add a new version of the model, and remove older ones but the last."""
        versions = sorted((each for each in self._store.iterdir() if each.is_dir()), key=_number)
        newest = versions[-1]
        coming = newest.with_name(f".{int(newest.name) + 1}")
        await asyncio.to_thread(shutil.copytree, newest, coming)
        coming.rename(newest.with_name(coming.name[1:]))
        for old in versions[:-2]:
            await asyncio.to_thread(shutil.rmtree, old)


def _number(version: Path) -> int:
    return int(version.name) if version.name.isdecimal() else -1
