"""What a stream counts in its account, and that it is read no further when that is much."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

import pytest
from inkstream.v1.recognition_service_pb2 import StreamOpened, StreamRecognizeResponse
from inkstream_server.limits.memory_book import Account
from inkstream_server.streams import outbox
from inkstream_server.streams.ends import MemoryShort, ProtocolViolation, ReaderStalled
from inkstream_server.streams.session import Limits, Session
from inkstream_server.streams.tensor_reply import REPLY_BYTES
from inkstream_server.wire.answer_options import AnswerOptions

from tests.patience import PATIENCE_SECONDS
from tests.unit.server.builders import GatedEngine, NumberEngine, Workshop, turns
from tests.unit.server.streams.test_session import MemoryWire

OPENING = StreamRecognizeResponse(opened=StreamOpened(window=9)).SerializeToString()


class Scene:
    def __init__(self, engine: NumberEngine, limit: int, opening: bytes, *, timings: bool) -> None:
        self.wire = MemoryWire()
        self.workshop = Workshop(engine)
        self.account = Account(limit)
        self.session = Session(
            self.wire,
            self.workshop.batcher,
            self.workshop.metrics,
            AnswerOptions(timings=timings),
            Limits(4096, 1024),
            account=self.account,
            opening=opening,
        )
        self.run = asyncio.create_task(self.session.run())

    async def ended(self) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.run


@asynccontextmanager
async def stream(
    engine: NumberEngine | None = None,
    *,
    limit: int = 1_000_000,
    opening: bytes = b"",
    timings: bool = False,
) -> AsyncIterator[Scene]:
    scene = Scene(engine or NumberEngine(), limit, opening, timings=timings)
    await turns(2)
    try:
        yield scene
    finally:
        scene.run.cancel()
        scene.wire.let_go()
        scene.wire.half_close()
        await asyncio.wait([scene.run])
        await scene.workshop.dispatcher.close()


@pytest.mark.parametrize(("column", "size"), [("uint8", 784), ("float32", 3136)])
async def test_a_stream_is_read_until_its_memory_is_in_use(column: str, size: int) -> None:
    engine = GatedEngine()
    async with stream(engine, limit=200_000) as scene:
        for first in range(0, 640, 10):
            scene.wire.send(range(first, first + 10), **{column: bytes(10 * size)})
        scene.wire.half_close()
        await turns(100)
        most = scene.account.usable + 10 * (size + 100) + REPLY_BYTES
        assert scene.account.usable <= scene.account.held <= most
        assert scene.session.messages < 20
        engine.release(200)
        await scene.ended()
        assert len(scene.wire.answers()) == 640, "all are read and answered in the end"
        assert scene.account.held == 0


async def test_what_computing_needed_is_given_up_while_answers_wait() -> None:
    # With timings each message has a reply of its own.
    async with stream(limit=10_000_000, timings=True) as scene:
        scene.wire.hold()
        for number in range(200):
            scene.wire.send([number])
            await turns(4)
        assert scene.session.messages == 200
        kinds = scene.account.kinds
        assert 0 < kinds["messages"] <= (outbox.MOST_UNPACKED + 2) * (REPLY_BYTES + 1000)
        assert kinds["answers"] >= 100 * 100
        scene.wire.let_go()
        assert len(await scene.wire.until(200)) == 200
        await turns(10)
        assert scene.account.held == 0


async def test_a_stream_gives_everything_back_when_its_caller_leaves() -> None:
    async with stream(GatedEngine()) as scene:
        for number in range(10):
            scene.wire.send([number])
        await turns(40)
        assert scene.account.held > 0
        scene.run.cancel()
        scene.wire.half_close()
        await asyncio.wait([scene.run])
        assert scene.account.held == 0
        scene.workshop.engine.release(20)  # type: ignore[attr-defined]  # a GatedEngine


async def test_the_opening_message_goes_before_all_answers() -> None:
    async with stream(opening=OPENING) as scene:
        scene.wire.send([5])
        assert await scene.wire.until(1) == [(5, 5)]
        assert scene.wire.written[0].opened.window == 9


async def test_a_caller_that_does_not_read_the_opening_message_is_ended() -> None:
    scene = Scene(NumberEngine(), 1_000_000, OPENING, timings=False)
    scene.wire.hold()
    await turns(4)
    scene.session.end_if_stalled(30.0, perf_counter() + 31)
    with pytest.raises(ReaderStalled, match="has read no answer for"):
        await scene.ended()
    await scene.workshop.dispatcher.close()


async def test_a_stream_can_be_ended_for_the_memory_that_it_holds() -> None:
    async with stream(GatedEngine()) as scene:
        scene.wire.send([1])
        await turns(10)
        assert scene.account.end is not None
        scene.account.end("too much")
        with pytest.raises(MemoryShort, match="too much"):
            await scene.ended()
        assert scene.account.held == 0
        scene.workshop.engine.release(2)  # type: ignore[attr-defined]  # a GatedEngine


async def test_bytes_that_are_no_request_end_the_stream_without_repeating_them() -> None:
    async with stream() as scene:
        scene.wire.incoming.put_nowait(b"\xffprivate")
        with pytest.raises(ProtocolViolation, match="expected a StreamRecognizeRequest") as wrong:
            await scene.ended()
        assert "private" not in str(wrong.value)
