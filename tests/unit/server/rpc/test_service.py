from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from inkstream.v1 import error_pb2, ink_pb2, tensor_pb2
from inkstream.v1 import recognition_service_pb2 as pb
from inkstream.v1.recognition_service_pb2_grpc import (
    RecognitionServiceStub,
)
from inkstream_server.rpc.listener import add_methods
from inkstream_server.rpc.service import RecognitionService
from inkstream_server.streams.session import Limits

from tests.patience import PATIENCE_SECONDS, eventually
from tests.unit.server.builders import GatedEngine, NumberEngine, Workshop, model_of, numbered


class Scene:
    def __init__(self, workshop: Workshop, service: RecognitionService, stub: Any) -> None:
        self.workshop = workshop
        self.service = service
        self.stub = stub

    def recognize(self, *numbers: int, **columns: Any) -> Any:
        tensors = tensor_pb2.Tensors(
            sequences=numbers, uint8=numbered(numbers).tobytes(), **columns
        )
        return self.stub.Recognize(pb.RecognizeRequest(tensors=tensors))


@asynccontextmanager
async def serving(engine: NumberEngine, **limits: int) -> AsyncIterator[Scene]:
    """The service over an engine that a test controls, on its own connection."""
    workshop = Workshop(engine, **limits)
    model = model_of(engine)
    service = RecognitionService(model, workshop.batcher, workshop.metrics, Limits(64, 64))
    server = grpc.aio.server()
    add_methods(server, "inkstream.v1.RecognitionService", service.handlers)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Scene(workshop, service, RecognitionServiceStub(channel))
    await server.stop(None)
    await workshop.dispatcher.close()


async def test_a_unary_call_that_is_cancelled_is_withdrawn_and_counted() -> None:
    engine = GatedEngine()
    async with serving(engine) as scene:
        staying = scene.recognize(1)
        await engine.begun()
        leaving = scene.recognize(2, 3, deadlines_ms=[0, 60_000])
        await eventually("the call waits", lambda: scene.workshop.dispatcher.queue.rows == 2)
        leaving.cancel()
        await eventually("the items cancelled", lambda: scene.workshop.ended("cancelled") == 2)
        engine.release(2)  # One release too many; the withdrawn block must not use it.
        assert [*(await staying).tensors[0].digits] == [1]
    assert engine.batches == [[1]]


async def test_groups_of_a_unary_call_do_not_wait_for_one_another() -> None:
    async with serving(NumberEngine()) as scene:
        answer = await scene.recognize(1, 2, 3, deadlines_ms=[0, 60_000, 0])
    assert scene.workshop.engine.batches == [[1, 2, 3]]
    assert [number for group in answer.tensors for number in group.sequences] == [1, 2, 3]


async def test_a_unary_call_reports_a_failed_engine_for_each_item() -> None:
    engine = NumberEngine()
    engine.failures = {0: "raise"}
    async with serving(engine) as scene:
        failed = await scene.recognize(1, 2)
        good = await scene.recognize(3)
    assert {error.sequence: error.code for error in failed.errors} == dict.fromkeys(
        [1, 2], error_pb2.ERROR_CODE_INTERNAL
    )
    assert [*good.tensors[0].digits] == [3]
    assert (scene.workshop.ended("failed"), scene.workshop.ended("ok")) == (2, 1)


async def test_a_unary_call_reports_a_full_queue_for_each_item() -> None:
    engine = GatedEngine()
    async with serving(engine, max_queue=1) as scene:
        first = scene.recognize(1)
        await engine.begun()
        refused = await scene.recognize(2, 3)
        engine.release()
        await first
    assert [(error.sequence, error.code) for error in refused.errors] == [
        (2, error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED),
        (3, error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED),
    ]
    assert scene.workshop.ended("overloaded") == 2


async def test_one_ink_in_a_unary_call_is_answered_as_final() -> None:
    async with serving(NumberEngine()) as scene:
        line = ink_pb2.Points(dx=[0, 0], dy=[0, 20])
        answer = await scene.stub.Recognize(pb.RecognizeRequest(ink=ink_pb2.Ink(strokes=[line])))
        assert answer.glyph.state == ink_pb2.GLYPH_STATE_FINAL
        assert answer.glyph.model_version == "number/1"
        assert scene.workshop.ended("ok", kind="ink") == 1


async def test_one_ink_that_is_cancelled_is_withdrawn_and_counted() -> None:
    engine = GatedEngine()
    async with serving(engine) as scene:
        staying = scene.recognize(1)
        await engine.begun()
        line = ink_pb2.Points(dx=[0, 0], dy=[0, 20])
        leaving = scene.stub.Recognize(pb.RecognizeRequest(ink=ink_pb2.Ink(strokes=[line])))
        await eventually("the call waits", lambda: scene.workshop.dispatcher.queue.rows == 1)
        leaving.cancel()
        await eventually("it is cancelled", lambda: scene.workshop.ended("cancelled", "ink") == 1)
        engine.release(2)  # One release too many; the withdrawn block must not use it.
        assert [*(await staying).tensors[0].digits] == [1]
    assert engine.batches == [[1]]


async def test_a_stream_that_ends_before_its_first_message_ends_with_ok() -> None:
    async with serving(NumberEngine()) as scene:
        call = scene.stub.StreamRecognize()
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK
    assert scene.workshop.value("inkstream_streams") == 0


async def test_a_stream_without_a_message_when_the_drain_begins_is_refused_as_unavailable() -> None:
    async with serving(NumberEngine()) as scene:
        call = scene.stub.StreamRecognize()
        await call.wait_for_connection()
        await eventually("the stream", lambda: scene.workshop.value("inkstream_streams") == 1)
        await scene.service.drain(PATIENCE_SECONDS)
        await call.write(pb.StreamRecognizeRequest(config=pb.StreamConfig()))
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while await call.read() is not grpc.aio.EOF:
                    pass
    assert failure.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_drain_without_streams_is_over_at_once() -> None:
    async with serving(NumberEngine()) as scene:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await scene.service.drain(PATIENCE_SECONDS * 100)
