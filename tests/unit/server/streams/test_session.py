from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inkstream.v1 import error_pb2, ink_pb2, tensor_pb2
from inkstream.v1.recognition_service_pb2 import (
    StreamConfig,
    StreamRecognizeRequest,
    StreamRecognizeResponse,
)
from inkstream_server.streams import session as session_module
from inkstream_server.streams.ends import ProtocolViolation, ReaderStalled
from inkstream_server.streams.session import Limits, Session
from inkstream_server.streams.tensor_reply import TensorReply
from inkstream_server.wire.answer_options import AnswerOptions

from tests.patience import PATIENCE_SECONDS
from tests.unit.server.builders import (
    GatedEngine,
    NumberEngine,
    Workshop,
    numbered,
    turns,
    will_not_complain,
)
from tests.unit.server.pens.events import opened, stroke

_NO_OPTIONS = AnswerOptions()


@pytest.fixture(autouse=True)
def operations_that_never_end_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """End a cancelled stream soon, because pending operations of this wire never finish, unlike gRPC's."""
    monkeypatch.setattr(session_module, "LAST_OPERATIONS_SECONDS", 0.01)


class MemoryWire:
    """A stream without a network. Writes wait while `slow` is set."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.written: list[StreamRecognizeResponse] = []
        self.broken: BaseException | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._is_writing = False
        self._wrote = asyncio.Event()

    async def read(self) -> bytes | None:
        return await self.incoming.get()

    async def write(self, message: bytes) -> None:
        assert not self._is_writing, "two writes at once"
        self._is_writing = True
        try:
            await self._open.wait()
        finally:
            self._is_writing = False
        if self.broken is not None:
            raise self.broken
        self.written.append(StreamRecognizeResponse.FromString(message))
        self._wrote.set()

    def hold(self) -> None:
        """Act as a caller that no longer reads."""
        self._open.clear()

    def let_go(self) -> None:
        self._open.set()

    def send(self, sequences: Sequence[int], **columns: Any) -> None:
        columns = columns or {"uint8": numbered(sequences).tobytes()}
        message = tensor_pb2.Tensors(sequences=sequences, **columns)
        self.ask(StreamRecognizeRequest(tensors=message))

    def send_ink(self, *pens: int) -> None:
        events = [ink_pb2.InkEvent(pen=pen, clear=ink_pb2.Clear()) for pen in pens]
        self.ask(StreamRecognizeRequest(ink=ink_pb2.InkEvents(events=events)))

    def ask(self, request: StreamRecognizeRequest) -> None:
        self.incoming.put_nowait(request.SerializeToString())

    def half_close(self) -> None:
        self.incoming.put_nowait(None)

    async def until(self, items: int) -> list[tuple[int, int | str]]:
        """Wait until this many items are answered."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.answers()) < items:
                self._wrote.clear()
                await self._wrote.wait()
        return self.answers()

    async def until_glyph(self) -> None:
        """Wait until a glyph is answered."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not any(response.glyphs for response in self.written):
                self._wrote.clear()
                await self._wrote.wait()

    def answers(self) -> list[tuple[int, int | str]]:
        """All answers so far, as (sequence, digit) or (sequence, name of the error)."""
        found: list[tuple[int, int | str]] = []
        for response in self.written:
            both = [
                (sequence, digit)
                for group in response.tensors
                for sequence, digit in zip(group.sequences, group.digits, strict=True)
            ]
            found += both
            found += [
                (error.sequence, error_pb2.ErrorCode.Name(error.code).removeprefix("ERROR_CODE_"))
                for error in response.errors
            ]
        return found


class NotedWire(MemoryWire):
    """Records how each read and write ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[str] = []

    async def read(self) -> bytes | None:
        request: bytes | None = await self._noted("read", super().read())
        return request

    async def write(self, message: bytes) -> None:
        await self._noted("write", super().write(message))

    async def _noted(self, operation: str, waited: Coroutine[Any, Any, Any]) -> Any:
        try:
            result = await waited
        except asyncio.CancelledError:
            self.ends.append(f"{operation} cancelled")
            raise
        self.ends.append(f"{operation} came back")
        return result


class Scene:
    def __init__(
        self,
        workshop: Workshop,
        window: int,
        max_frames: int,
        options: AnswerOptions,
        wire: MemoryWire | None = None,
    ) -> None:
        self.wire = wire or MemoryWire()
        self.workshop = workshop
        self.session = Session(
            self.wire,
            workshop.batcher,
            workshop.metrics,
            options,
            Limits(window, max_frames),
        )
        self.run = asyncio.create_task(self.session.run())

    async def ended(self) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.run


@asynccontextmanager
async def stream(
    engine: NumberEngine | None = None,
    *,
    window: int = 4096,
    max_frames: int = 1024,
    max_queue: int = 16384,
    options: AnswerOptions = _NO_OPTIONS,
    wire: MemoryWire | None = None,
) -> AsyncIterator[Scene]:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
    scene = Scene(Workshop(engine, max_queue=max_queue), window, max_frames, options, wire)
    await turns(2)
    try:
        yield scene
    finally:
        scene.run.cancel()
        scene.wire.half_close()  # gRPC returns EOF for a call that is over.
        await asyncio.wait([scene.run])
        await scene.workshop.dispatcher.close()
    assert scene.workshop.dispatcher.queue.rows == 0
    await turns()
    assert not complaints, complaints


async def test_a_stream_that_half_closes_gets_every_answer_then_ends() -> None:
    async with stream() as scene:
        scene.wire.send([3, 14, 25])
        scene.wire.half_close()
        await scene.ended()
        assert scene.wire.answers() == [(3, 3), (14, 4), (25, 5)]


async def test_a_stream_without_frames_ends_without_an_answer() -> None:
    async with stream() as scene:
        scene.wire.half_close()
        await scene.ended()
        assert scene.wire.written == []


async def test_answers_keep_the_order_of_arrival_even_when_later_ones_are_known_first() -> None:
    engine = GatedEngine()
    async with stream(engine) as scene:
        scene.wire.send([1])
        await engine.begun()
        scene.wire.send([2], uint8=b"too short")
        scene.wire.send([3])
        await turns()
        assert scene.wire.written == [], "an answer overtook the one before it"
        engine.release(2)
        assert await scene.wire.until(3) == [(1, 1), (2, "INVALID_ARGUMENT"), (3, 3)]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 9), st.sampled_from(["good", "short", "stale"])), max_size=12
    ),
    st.sampled_from([256, 3, 0]),
    st.sampled_from([4, 16, 4096]),
)
def test_answers_come_in_the_order_of_items_for_any_outcomes(
    messages: list[tuple[int, str]], in_place_rows: int, window: int
) -> None:
    async def play() -> None:
        async with stream(NumberEngine(in_place_rows), window=window) as scene:
            scene.wire.send([0])
            wanted: list[tuple[int, int | str]] = [(0, 0)]
            first = 1
            for size, kind in messages:
                sequences = range(first, first + size)
                if kind == "short":
                    scene.wire.send(sequences, uint8=b"")
                    wanted += [(number, "INVALID_ARGUMENT") for number in sequences]
                elif kind == "stale":
                    scene.wire.send([0] * size)
                    wanted += [(0, "INVALID_ARGUMENT")] * size
                else:
                    scene.wire.send(sequences)
                    wanted += [(number, number % 10) for number in sequences]
                first += size
            scene.wire.half_close()
            await scene.ended()
            # Within one message results come before errors, so only the order of numbers counts.
            assert sorted(scene.wire.answers(), key=str) == sorted(wanted, key=str)
            good = [number for number, answer in scene.wire.answers() if isinstance(answer, int)]
            assert good == sorted(good)

    asyncio.run(play())


async def test_bad_frames_are_refused_by_number_and_their_neighbours_are_answered() -> None:
    async with stream() as scene:
        scene.wire.send([1, 2, 2, 3])
        scene.wire.send([4], float32=bytes(12))
        scene.wire.send([5])
        scene.wire.half_close()
        await scene.ended()
        invalid = "INVALID_ARGUMENT"
        wanted = [(1, 1), (2, 2), (3, 3), (5, 5), (2, invalid), (4, invalid)]
        assert sorted(scene.wire.answers(), key=str) == sorted(wanted, key=str)
        assert (scene.workshop.ended("ok"), scene.workshop.ended("invalid")) == (4, 2)


async def test_a_full_window_holds_the_reader_until_answers_leave() -> None:
    async with stream(window=4) as scene:
        scene.wire.hold()
        for number in range(10):
            scene.wire.send([number])
        await turns(50)
        assert scene.wire.incoming.qsize() == 6, "read beyond the window"
        scene.wire.let_go()
        assert [number for number, _ in await scene.wire.until(10)] == [*range(10)]


async def test_refused_ink_fills_the_window_too() -> None:
    async with stream(window=4) as scene:
        scene.wire.hold()
        for number in range(10):
            scene.wire.send_ink(number)
        await turns(50)
        assert scene.wire.incoming.qsize() == 6, "errors accumulate for a caller that does not read"
        scene.wire.let_go()
        await scene.wire.until(10)
        assert scene.workshop.ended("invalid", kind="ink") == 10


async def five_wait(scene: Scene, engine: GatedEngine) -> None:
    """Let images 1 to 5 wait, a message each, while the engine works on image 0."""
    scene.wire.send([0])
    await engine.begun()
    for number in range(1, 6):
        scene.wire.send([number])
    await turns()


async def test_answers_that_are_ready_together_leave_in_one_message() -> None:
    engine = GatedEngine()
    async with stream(engine) as scene:
        await five_wait(scene, engine)
        engine.release(2)
        await scene.wire.until(6)
        sizes = [sum(len(group.sequences) for group in it.tensors) for it in scene.wire.written]
        assert sizes == [1, 5]


async def test_messages_that_wait_together_are_one_block_and_each_item_is_counted() -> None:
    engine = GatedEngine()
    async with stream(engine) as scene:
        await five_wait(scene, engine)
        assert len(scene.session._outbox._replies) == 2
        scene.wire.send(
            [6, 7, 7]
        )  # One of its frames is refused, so this message has its own reply.
        scene.wire.send([8])
        await turns()
        engine.release(3)
        answers = await scene.wire.until(10)
        assert sorted(answers, key=str) == sorted(
            [*((number, number) for number in range(9)), (7, "INVALID_ARGUMENT")], key=str
        )
        assert (scene.workshop.ended("ok"), scene.workshop.ended("invalid")) == (9, 1)
        latency = scene.workshop.value("inkstream_item_latency_seconds_count", kind="tensor")
        assert latency == 10


async def test_messages_of_streams_with_timings_do_not_share_a_block() -> None:
    engine = GatedEngine()
    async with stream(engine, options=AnswerOptions(timings=True)) as scene:
        scene.wire.send([0])
        await engine.begun()
        scene.wire.send([1])
        scene.wire.send([2])
        await turns()
        assert len(scene.session._outbox._replies) == 3
        engine.release(3)
        await scene.wire.until(3)


@pytest.mark.parametrize("kind", ["config", "empty", "oversized"])
async def test_a_protocol_error_ends_the_stream_after_earlier_items_are_answered(
    kind: str,
) -> None:
    async with stream(max_frames=2) as scene:
        scene.wire.send([7])
        if kind == "oversized":
            scene.wire.send([8, 9, 10])
        else:
            request = StreamRecognizeRequest(config=StreamConfig() if kind == "config" else None)
            scene.wire.ask(request)
        with pytest.raises(
            ProtocolViolation, match=r"only the first|empty message|may carry 2 frames"
        ):
            await scene.ended()
        assert scene.wire.answers() == [(7, 7)]


async def test_cancelling_withdraws_and_counts_waiting_items() -> None:
    engine = GatedEngine()
    async with stream(engine) as scene:
        scene.wire.send([1])
        await engine.begun()
        scene.wire.send([2, 3])
        await turns()
        assert scene.workshop.dispatcher.queue.rows == 2
        scene.run.cancel()
        await asyncio.wait([scene.run])
        engine.release()
        await scene.workshop.dispatcher.close()
        assert engine.batches == [[1]], "a withdrawn frame was computed"
        assert scene.workshop.ended("cancelled") == 3
        assert scene.workshop.ended("ok") == 0


async def test_open_glyphs_of_a_cancelled_stream_are_counted_as_cancelled() -> None:
    async with stream() as scene:
        events = [opened(1), *stroke(1, pen=1), opened(2), *stroke(1, pen=2)]
        scene.wire.ask(StreamRecognizeRequest(ink=ink_pb2.InkEvents(events=events)))
        await turns(20)
        assert scene.workshop.value("inkstream_open_glyphs") == 2
        scene.run.cancel()
        scene.wire.half_close()  # gRPC returns EOF for a call that is over.
        await asyncio.wait([scene.run])
        assert scene.workshop.value("inkstream_glyphs_total", outcome="cancelled") == 2
        assert scene.workshop.ended("cancelled", "ink") == 2
        assert scene.workshop.value("inkstream_open_glyphs") == 0


async def test_a_stream_with_unread_failures_ends_without_a_log_line() -> None:
    engine = NumberEngine()
    engine.failures = {0: "raise"}
    async with stream(engine) as scene:
        scene.wire.hold()
        scene.wire.send([1], uint8=b"")  # The writer blocks on its answer.
        await turns()
        scene.wire.send([2])
        scene.wire.ask(StreamRecognizeRequest())  # Fails the reader.
        await turns(30)
        assert engine.failed == {2}
        reader = scene.session._reader
        assert reader is not None
        replies = [it for it in scene.session._outbox._replies if isinstance(it, TensorReply)]
        (block,) = (block for reply in replies for block in reply.blocks)
        scene.run.cancel()
        await asyncio.wait([scene.run])
        assert scene.run.cancelled()
        assert will_not_complain(reader), "Task exception was never retrieved"
        assert will_not_complain(block[1]), "Future exception was never retrieved"


async def test_a_caller_that_disconnects_ends_the_stream_and_stops_the_reader() -> None:
    async with stream() as scene:
        scene.wire.broken = ConnectionError("gone")
        scene.wire.send([1])
        with pytest.raises(ConnectionError):
            await scene.ended()
        scene.wire.send([2])
        await turns()
        assert scene.wire.incoming.qsize() == 1, "the reader still reads"


async def test_slow_streams_of_images_are_answered_within_a_batch_beside_one_at_full_speed() -> (
    None
):
    engine = GatedEngine()
    async with stream(engine) as flood:
        flood.wire.send([1])
        await engine.begun()
        for first in range(2, 4002, 1000):
            flood.wire.send(range(first, first + 1000))
        await turns()
        slow = [Scene(flood.workshop, 4096, 1024, _NO_OPTIONS) for _ in range(100)]
        for scene in slow:
            scene.wire.send([7])
        await turns()
        engine.release(2)  # The batch under way, and the next.
        assert [await scene.wire.until(1) for scene in slow] == [[(7, 7)]] * len(slow)
        assert [number for number, _ in flood.wire.answers()] == [1]
        engine.release(100)
        assert len(await flood.wire.until(4001)) == 4001
        for scene in slow:
            scene.wire.half_close()
            await scene.ended()


async def test_a_failed_batch_and_a_full_queue_are_reported_for_each_item() -> None:
    engine = GatedEngine()
    engine.failures = {0: "raise"}
    async with stream(engine, max_queue=2) as scene:
        scene.wire.send([1])
        await engine.begun()
        scene.wire.send([2])
        scene.wire.send([3, 4])
        await turns()
        engine.release(2)
        assert await scene.wire.until(4) == [
            (1, "INTERNAL"),
            (2, 2),
            (3, "RESOURCE_EXHAUSTED"),
            (4, "RESOURCE_EXHAUSTED"),
        ]
        assert [scene.workshop.ended(it) for it in ("ok", "failed", "overloaded")] == [1, 1, 2]


async def test_a_deadline_counts_from_arrival() -> None:
    engine = GatedEngine()
    async with stream(engine) as scene:
        scene.wire.send([1])
        await engine.begun()
        message = tensor_pb2.Tensors(
            sequences=[2, 3], uint8=numbered([2, 3]).tobytes(), deadlines_ms=[1, 600_000]
        )
        scene.wire.ask(StreamRecognizeRequest(tensors=message))
        await turns()
        await asyncio.sleep(0.002)  # The test is about time that passes, so it sleeps.
        engine.release(2)
        answers = dict(await scene.wire.until(3))
        assert answers == {1: 1, 2: "DEADLINE_EXCEEDED", 3: 3}
        assert scene.workshop.ended("expired") == 1


async def test_every_item_is_counted_once_with_its_latency() -> None:
    async with stream() as scene:
        scene.wire.send([1, 2, 3])
        scene.wire.send([4], uint8=b"")
        scene.wire.half_close()
        await scene.ended()
        latency = scene.workshop.value("inkstream_item_latency_seconds_count", kind="tensor")
        assert latency == 4


async def test_a_draining_stream_gets_a_notice_and_ends_when_its_caller_half_closes() -> None:
    async with stream() as scene:
        drain = asyncio.create_task(scene.session.drain(9.0))
        await turns()
        assert [it.draining.grace_ms for it in scene.wire.written] == [9000]
        scene.wire.send([5])
        scene.wire.half_close()
        await scene.ended()
        await drain
        assert scene.wire.answers() == [(5, 5)]


async def test_the_drain_notice_does_not_wait_for_pending_answers() -> None:
    engine = GatedEngine()
    async with stream(engine) as scene:
        scene.wire.send([1])
        await engine.begun()
        scene.wire.send([2])
        await turns()
        drain = asyncio.create_task(scene.session.drain(PATIENCE_SECONDS))
        await turns()
        engine.release(1)
        assert await scene.wire.until(1) == [(1, 1)]
        assert scene.wire.written[0].HasField("draining"), "the second image is still pending"
        engine.release(1)
        scene.wire.half_close()
        await drain
        await scene.ended()
        assert scene.wire.answers() == [(1, 1), (2, 2)]


async def test_a_draining_stream_that_is_silent_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "DRAIN_IDLE_SECONDS", 0.01)
    async with stream() as scene:
        await scene.session.drain(PATIENCE_SECONDS * 10)
        await scene.ended()
        assert scene.wire.written[0].HasField("draining")


async def test_a_drain_takes_no_longer_than_its_grace_and_answers_what_was_read() -> None:
    async with stream() as scene:
        sending = True

        async def keep_sending() -> None:
            number = 0
            while sending:
                scene.wire.send([number])
                number += 1
                await asyncio.sleep(0)

        sender = asyncio.create_task(keep_sending())
        await scene.session.drain(0.05)
        await scene.ended()
        sending = False
        await sender
        numbers = [number for number, _ in scene.wire.answers()]
        assert numbers == [*range(len(numbers))]
        assert numbers
        assert scene.workshop.ended("ok") == len(numbers)
        assert scene.workshop.ended("cancelled") == 0


async def test_a_drain_does_not_treat_a_reader_held_by_its_window_as_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session_module, "DRAIN_IDLE_SECONDS", 0.001)
    engine = GatedEngine()
    async with stream(engine, window=1) as scene:
        scene.wire.send([1])
        await engine.begun()
        scene.wire.send([2])  # Waits unread behind the window.
        drain = asyncio.create_task(scene.session.drain(PATIENCE_SECONDS))
        await asyncio.wait([drain], timeout=0.05)  # Fifty times the limit of silence.
        monkeypatch.setattr(session_module, "DRAIN_IDLE_SECONDS", PATIENCE_SECONDS)
        engine.release(2)
        assert await scene.wire.until(2) == [(1, 1), (2, 2)]
        scene.wire.half_close()
        await drain
        await scene.ended()


async def test_a_drain_waits_for_the_last_answers() -> None:
    engine = GatedEngine()
    async with stream(engine) as scene:
        scene.wire.send([1])
        await engine.begun()
        scene.wire.half_close()
        drain = asyncio.create_task(scene.session.drain(PATIENCE_SECONDS))
        await turns(50)
        assert not drain.done(), "the drain ended while an answer was pending"
        engine.release()
        await drain
        assert scene.wire.answers() == [(1, 1)]


async def test_a_drain_ends_a_stream_whose_caller_does_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session_module, "LAST_ANSWERS_SECONDS", 0.01)
    async with stream() as scene:
        scene.wire.hold()
        scene.wire.send([1])
        await turns()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await scene.session.drain(0.01)
        assert not scene.run.done()


async def test_a_caller_that_reads_no_answers_is_ended_after_the_stall_timeout() -> None:
    async with stream(window=3) as scene:
        scene.wire.hold()
        for number in range(5):
            scene.wire.send([number])
        await turns(20)
        assert scene.wire.incoming.qsize() == 2, "read beyond the window"
        began = perf_counter()
        scene.session.end_if_stalled(limit=30.0, now=began)
        await turns()
        assert not scene.run.done(), "ended before its time"
        scene.session.end_if_stalled(limit=30.0, now=began + 31.0)
        with pytest.raises(ReaderStalled, match=r"has read no answer for 31\.\d s"):
            await scene.ended()
        assert scene.workshop.ended("cancelled") + scene.workshop.ended("ok") == 3


async def test_a_stream_that_waits_for_its_caller_or_its_answers_is_not_stalled() -> None:
    engine = GatedEngine()
    async with stream(engine) as scene:
        scene.session.end_if_stalled(limit=1.0, now=1e12)
        scene.wire.send([1])
        await engine.begun()
        scene.session.end_if_stalled(limit=1.0, now=1e12)
        engine.release()
        await scene.wire.until(1)
        scene.session.end_if_stalled(limit=1.0, now=1e12)
        scene.wire.half_close()
        await scene.ended()


async def test_a_cancelled_stream_is_not_taken_for_a_stalled_one() -> None:
    async with stream() as scene:
        scene.wire.hold()
        scene.wire.send([1])
        await turns()
        scene.run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await scene.ended()


async def test_a_lone_message_is_answered_in_the_turn_in_which_it_is_read() -> None:
    async with stream() as scene:
        for number in range(3):
            scene.wire.send([number])
            await turns(2)
            assert len(scene.wire.written) == number + 1


async def test_answers_ready_during_a_blocked_write_wait_their_turn() -> None:
    async with stream() as scene:
        scene.wire.hold()
        scene.wire.send([1])
        await turns()
        scene.wire.send([2])
        scene.wire.send([3], uint8=b"")
        scene.wire.send([4])
        await turns()
        assert scene.wire.incoming.empty(), "a blocked write blocks the reader"
        assert scene.wire.written == []
        scene.wire.let_go()
        scene.wire.half_close()
        await scene.ended()
        sizes = [
            sum(len(group.sequences) for group in it.tensors) + len(it.errors)
            for it in scene.wire.written
        ]
        assert sizes == [1, 3]


async def test_a_stream_whose_last_answer_was_read_is_not_stalled() -> None:
    async with stream() as scene:
        scene.wire.hold()
        scene.wire.send([1])
        await turns()
        scene.wire.let_go()
        await turns()
        scene.session.end_if_stalled(1.0, perf_counter() + 10)
        await turns()
        assert not scene.run.done()


async def test_pending_grpc_operations_of_a_cancelled_stream_finish_and_are_not_cancelled() -> None:
    # Otherwise gRPC never frees it: grpc#43360.
    wire = NotedWire()
    async with stream(wire=wire) as scene:
        scene.wire.hold()
        scene.wire.send([1])
        scene.wire.send([2])
        await turns(20)
        wire.ends.clear()
        scene.run.cancel()
        await turns()
        assert wire.ends == []
        scene.wire.let_go()
        scene.wire.half_close()
        await asyncio.wait([scene.run])
        assert scene.run.cancelled()
        assert sorted(wire.ends) == ["read came back", "write came back"]


async def test_cancelling_abandons_a_blocked_write() -> None:
    async with stream() as scene:
        scene.wire.hold()
        scene.wire.send([1])
        await turns()
        scene.run.cancel()
        await asyncio.wait([scene.run])
        assert scene.run.cancelled()
        assert scene.wire.written == []
