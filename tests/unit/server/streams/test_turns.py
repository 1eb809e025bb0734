"""What a caller can bring to take the loop from the others: tests of the order of work, without a clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from inkstream.v1 import ink_pb2, tensor_pb2
from inkstream.v1.recognition_service_pb2 import StreamRecognizeRequest
from inkstream_server.limits.turns import QUANTUM_SECONDS, Turns
from inkstream_server.pens.resources import InkResources
from inkstream_server.streams import session
from inkstream_server.streams.session import Limits, Session
from inkstream_server.wire.answer_options import AnswerOptions

from tests.unit.server.builders import Workshop, turns
from tests.unit.server.pens.events import InkEvent, begun, cleared, erased, lifted, moved, opened
from tests.unit.server.pens.events import stroke as stroke_of
from tests.unit.server.streams.test_session import MemoryWire

HEAVY = 8
"""Streams that bring much."""


def ink(*events: InkEvent) -> StreamRecognizeRequest:
    return StreamRecognizeRequest(ink=ink_pb2.InkEvents(events=events))


def digit(strokes: int) -> list[InkEvent]:
    """A digit of strokes of 100 counts, side by side within a box of the same size."""
    return [
        event
        for number in range(1, strokes + 1)
        for event in stroke_of(number, [(number, 0), (number, 100)])
    ]


GROWING_TAP = ink(opened(), *digit(62), begun(63), moved([(400, 50)]), *[moved([(0, 0)])] * 2000)
ERASING = ink(opened(), *digit(61), *[*stroke_of(62), erased(62)] * 500)
POINTS = ink(opened(), *[cleared(), begun(1), moved([(0, 0)] * 4000), lifted()] * 500)
REFUSED = ink(opened(0), *[InkEvent()] * 2000)
UNKNOWN_PENS = ink(*[cleared(pen) for pen in range(2000)])
PENS = ink(*[event for pen in range(1, 1000) for event in (opened(pen), *stroke_of(1, pen=pen))])
INTERIMS = ink(
    *[opened(pen, interims_per_second=60) for pen in range(100)],
    *[event for pen in range(100) for event in (begun(1, pen), moved([(0, 0), (9, 50)], pen))],
    *[moved([(1, 1)], pen) for pen in range(100)] * 10,
)
DEADLINES = StreamRecognizeRequest(
    tensors=tensor_pb2.Tensors(
        sequences=range(1024), uint8=bytes(784 * 1024), deadlines_ms=range(600_000, 601_024)
    )
)
DUPLICATES = StreamRecognizeRequest(
    tensors=tensor_pb2.Tensors(sequences=[1] * 1024, uint8=bytes(784 * 1024))
)


class Place:
    """Streams of one server, whose steps are counted: each takes a quantum of time."""

    def __init__(self) -> None:
        self.workshop = Workshop()
        self.looks = 0
        self.resources = InkResources.over(
            self.workshop.batcher, self.workshop.metrics, turns=Turns(self._look)
        )
        self.runs: list[asyncio.Task[None]] = []
        self.wires: list[MemoryWire] = []

    def _look(self) -> float:
        """A look at the clock: there are three for each step."""
        self.looks += 1
        return self.looks * QUANTUM_SECONDS

    @property
    def steps(self) -> int:
        """About how many steps of work were done, of all streams."""
        return self.looks // 3

    def stream(self) -> MemoryWire:
        wire, workshop = MemoryWire(), self.workshop
        served = Session(
            wire,
            workshop.batcher,
            workshop.metrics,
            AnswerOptions(),
            Limits(4096, 1024),
            self.resources,
        )
        self.runs.append(asyncio.create_task(served.run()))
        self.wires.append(wire)
        return wire


@asynccontextmanager
async def place() -> AsyncIterator[Place]:
    here = Place()
    try:
        yield here
    finally:
        for run, wire in zip(here.runs, here.wires, strict=True):
            run.cancel()
            wire.half_close()
        await asyncio.wait(here.runs)
        assert all(run.cancelled() for run in here.runs)
        await here.workshop.dispatcher.close()


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(GROWING_TAP, id="a tap that grows"),
        pytest.param(ERASING, id="erasing"),
        pytest.param(POINTS, id="points"),
        pytest.param(REFUSED, id="refused events"),
        pytest.param(UNKNOWN_PENS, id="pens that are not open"),
        pytest.param(PENS, id="many pens"),
        pytest.param(INTERIMS, id="interims"),
        pytest.param(DEADLINES, id="a deadline an image"),
        pytest.param(DUPLICATES, id="images with errors"),
    ],
)
async def test_heavy_streams_delay_a_light_one_by_a_few_steps_of_their_work(
    message: StreamRecognizeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Pending operations of this wire never finish, unlike gRPC's.
    monkeypatch.setattr(session, "LAST_OPERATIONS_SECONDS", 0.01)
    async with place() as here:
        pens, images = here.stream(), here.stream()
        pens.ask(ink(opened()))
        for _ in range(HEAVY):
            heavy = here.stream()
            for _ in range(4):
                heavy.ask(message)
        await turns(20)
        before = here.steps
        images.send([7])
        assert await images.until(1) == [(7, 7)]
        assert here.steps - before <= 12
        before = here.steps
        pens.ask(ink(*stroke_of(1)))
        await pens.until_glyph()
        # Three events and a drawing, and each waits for a step of each heavy stream.
        assert here.steps - before <= 4 * (HEAVY + 1) + 12
        assert here.resources.turns.waiting >= HEAVY, "the heavy streams must have work left"
