"""Callers who make a server keep as much as they can for their pens, each on one stream."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from inkstream.v1 import error_pb2, ink_pb2
from inkstream.v1 import recognition_service_pb2 as pb

from tests.patience import PATIENCE_SECONDS

METHOD = "/inkstream.v1.RecognitionService/StreamRecognize"
CONFIG = pb.StreamRecognizeRequest(config=pb.StreamConfig()).SerializeToString()
MESSAGE_BYTES = 1_000_000
"""Events are sent in messages of about so much."""
SECONDS = 3.0
"""How long a caller sends that reads no answer."""
LONG_MS = 60_000
"""Quiet time that keeps a digit open."""

Attack = Callable[[float], Iterator[bytes]]
"""Gives serialised events: all those of an attack for 1, a part of them for less."""


def tagged(number: int, content: bytes) -> bytes:
    """A field of a protobuf message that holds bytes, of any length."""
    length, size = bytearray(), len(content)
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    return bytes((number << 3 | 2, *length, size)) + content


def opened(pen: int, opening: bytes = b"", **fields: Any) -> bytes:
    """An event that opens a pen with settings of its own."""
    settings = ink_pb2.PenOpen(quiet_ms=LONG_MS - pen, **fields).SerializeToString()
    return ink_pb2.InkEvent(pen=pen).SerializeToString() + tagged(2, opening + settings)


def written(pen: int, stroke: int, points: int, *, ends: bool = True) -> Iterator[bytes]:
    """A stroke of a pen: its beginning, its points, and its end if it `ends`."""
    begin = ink_pb2.StrokeBegin(stroke=stroke)
    yield ink_pb2.InkEvent(pen=pen, stroke_begin=begin).SerializeToString()
    if points:
        columns = ink_pb2.Points(dx=[1] * points, dy=[9, 9, -9, -9] * (points // 4))
        yield ink_pb2.InkEvent(pen=pen, points=columns).SerializeToString()
    if ends:
        yield ink_pb2.InkEvent(pen=pen, stroke_end=ink_pb2.StrokeEnd()).SerializeToString()


def event(pen: int, **act: Any) -> bytes:
    return ink_pb2.InkEvent(pen=pen, **act).SerializeToString()


def many_boxes(share: float) -> Iterator[bytes]:
    """4,096 pens with 256 boxes each."""
    area = ink_pb2.Area(x=1.5, y=2.5, width=3.5, height=4.5)
    boxes = [ink_pb2.Box(box=box + 1, area=area) for box in range(256)]
    opening = ink_pb2.PenOpen(boxes=boxes).SerializeToString()
    for pen in range(int(4096 * share)):
        yield opened(pen, opening)


def long_openings(share: float) -> Iterator[bytes]:
    """2,000 pens whose openings have 80 kB of what the contract does not know, and 100 of 3.9 MB."""
    for size, pens in ((80_000, 2000), (3_900_000, 100)):
        unknown = tagged(15, bytes(size))
        for pen in range(int(pens * share)):
            yield opened(pen, unknown)


def many_points(share: float) -> Iterator[bytes]:
    """4,096 pens that write 4,096 points each, and do not lift."""
    for pen in range(int(4096 * share)):
        yield opened(pen)
        yield from written(pen, 1, 4096, ends=False)


def strokes_without_points(share: float) -> Iterator[bytes]:
    """4,096 pens with 64 strokes each, which have no points."""
    for pen in range(int(4096 * share)):
        yield opened(pen)
        for stroke in range(1, 65):
            yield from written(pen, stroke * 1000, 0)


def remembered_strokes(share: float) -> Iterator[bytes]:
    """512 pens whose strokes are all final, 256 each."""
    for pen in range(int(512 * share)):
        yield opened(pen)
        for stroke in range(1, 257):
            yield from written(pen, stroke * 1000, 0)
            if stroke % 64 == 0:
                yield event(pen, glyph_end=ink_pb2.GlyphEnd())


def long_digits(share: float) -> Iterator[bytes]:
    """16,000 digits of 4,096 points each, erased when they are written."""
    yield opened(1)
    for stroke in range(1, int(16_000 * share)):
        yield from written(1, stroke, 4096)
        yield event(1, stroke_remove=ink_pb2.StrokeRemove(stroke=stroke))


ATTACKS: tuple[Attack, ...] = (
    many_boxes,
    long_openings,
    many_points,
    strokes_without_points,
    remembered_strokes,
    long_digits,
)


@dataclass
class Hoard:
    """What came of an attack."""

    answers: int = 0
    """Answers to digits."""
    refused: int = 0
    """Events that found no room."""
    is_sent: bool = False
    """Whether the server has read everything."""
    others: Counter[str] = field(default_factory=Counter)
    """Other errors, with their numbers left out."""


def messages(events: Iterator[bytes]) -> Iterator[bytes]:
    """Put serialised events into requests."""
    batch, size = list[bytes](), 0
    for one in events:
        if batch and size + len(one) > MESSAGE_BYTES:
            yield tagged(3, b"".join(batch))
            batch, size = [], 0
        batch.append(tagged(1, one))
        size += len(one)
    yield tagged(3, b"".join(batch))


@asynccontextmanager
async def attacking(
    address: str, attack: Attack, share: float, *, reads: bool = True
) -> AsyncIterator[Hoard]:
    """Hold a stream on which all events of an attack were sent, as far as the server reads them.

    Args:
        address: of the server.
        attack: what to send.
        share: the part of it to send, 0 to 1.
        reads: whether answers are read.
    """
    hoard = Hoard()
    async with grpc.aio.insecure_channel(address) as channel:
        call: Any = channel.stream_stream(METHOD)()
        await call.write(CONFIG)

        async def read() -> None:
            while (answer := await call.read()) is not grpc.aio.EOF:
                response = pb.StreamRecognizeResponse.FromString(answer)
                hoard.answers += len(response.glyphs)
                for error in response.errors:
                    if error.code == error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED:
                        hoard.refused += 1
                    else:
                        hoard.others[re.sub(r"\d+", "N", error.message)] += 1

        async def send() -> None:
            for message in messages(attack(share)):
                await call.write(message)
            hoard.is_sent = True

        reading = asyncio.create_task(read()) if reads else None
        sending = asyncio.create_task(send())
        await asyncio.wait([sending], timeout=PATIENCE_SECONDS if reads else SECONDS)
        try:
            yield hoard
        finally:
            call.cancel()
            for task in (reading, sending):
                if task is not None:
                    task.cancel()
                    with suppress(asyncio.CancelledError, grpc.RpcError, asyncio.InvalidStateError):
                        await task


def memory_mb(pid: int) -> float:
    """Resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024
