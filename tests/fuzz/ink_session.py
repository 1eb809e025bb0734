"""Events of pens, in any order and with any values, through an ink session on a real renderer and batcher."""

from __future__ import annotations

import asyncio
import contextlib
import sys

import atheris

with atheris.instrument_imports(include=["inkstream_server.pens", "inkstream_server.ink"]):
    from inkstream_server.pens.limits import PenLimits

    from tests.unit.server.pens.desk import Desk

from google.protobuf.message import DecodeError
from inkstream.v1 import ink_pb2

KINDS = [
    "open",
    "stroke_begin",
    "points",
    "stroke_end",
    "glyph_end",
    "stroke_remove",
    "clear",
    "close",
]


def events(data: atheris.FuzzedDataProvider) -> list[ink_pb2.InkEvent]:
    """Make events of two pens from the input."""
    made: list[ink_pb2.InkEvent] = []
    while data.remaining_bytes() and len(made) < 64:
        event = ink_pb2.InkEvent(pen=data.ConsumeIntInRange(1, 2))
        kind = data.PickValueInList(KINDS)
        body = getattr(event, kind)
        body.SetInParent()
        with contextlib.suppress(DecodeError):  # Earlier events keep their effect.
            body.MergeFromString(data.ConsumeBytes(data.ConsumeIntInRange(0, 24)))
        if kind == "stroke_begin" and data.ConsumeBool():
            body.stroke = len(made) + 1
        if kind == "points" and data.ConsumeBool():
            columns = range(data.ConsumeIntInRange(0, 8))
            body.dx[:] = [data.ConsumeIntInRange(-(2**31), 2**31 - 1) for _ in columns]
            body.dy[:] = [data.ConsumeIntInRange(-(2**31), 2**31 - 1) for _ in columns]
        made.append(event)
    return made


async def write(content: bytes) -> None:
    """Process all events, let the quiet times pass, and end: every digit ends and nothing is left."""
    desk = Desk(PenLimits())
    data = atheris.FuzzedDataProvider(content)
    await desk.take(*events(data))
    desk.clock.advance(2.0)
    desk.end()
    await desk.read()
    assert desk.workshop.value("inkstream_open_pens") == 0
    assert desk.clock.pending == 0


def write_message(content: bytes) -> None:
    asyncio.run(write(content))


if __name__ == "__main__":
    atheris.Setup(sys.argv, write_message)
    atheris.Fuzz()
