from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from inkstream.v1 import recognition_service_pb2 as pb
from inkstream.v1.recognition_service_pb2_grpc import (
    RecognitionServiceServicer,
    RecognitionServiceStub,
    add_RecognitionServiceServicer_to_server,
)
from inkstream_server.metrics.grpc_calls import GrpcMetrics
from prometheus_client import CollectorRegistry

from tests.patience import eventually

SERVICE = pb.DESCRIPTOR.services_by_name["RecognitionService"]
HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"]
REFLECTION = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"]


class Obliging(RecognitionServiceServicer):
    """A service that behaves as the requested model name says."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()

    async def GetModel(self, request: pb.GetModelRequest, context: Any) -> pb.GetModelResponse:
        if request.model == "abort":
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such model")
        if request.model == "raise":
            raise RuntimeError("broken")
        if request.model == "state":
            context.set_code(grpc.StatusCode.DATA_LOSS)
        if request.model == "wait":
            self.reached.set()
            await asyncio.Event().wait()
        return pb.GetModelResponse()

    async def StreamRecognize(self, request_iterator: object, context: Any) -> None:
        while (request := await context.read()) is not grpc.aio.EOF:
            self.reached.set()
            if request.config.model == "wait":
                await asyncio.Event().wait()
            if request.config.model == "abort":
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no")
            await context.write(pb.StreamRecognizeResponse())
            await context.write(pb.StreamRecognizeResponse())


class Scene:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        metrics = GrpcMetrics(self.registry, [SERVICE, HEALTH, REFLECTION])
        self.servicer = Obliging()
        self.server = grpc.aio.server(interceptors=[metrics])
        add_RecognitionServiceServicer_to_server(self.servicer, self.server)
        self.port = self.server.add_insecure_port("127.0.0.1:0")

    def value(self, name: str, method: str, **labels: str) -> float:
        kind = "bidi_stream" if method == "StreamRecognize" else "unary"
        labels |= {
            "grpc_type": kind,
            "grpc_service": "inkstream.v1.RecognitionService",
            "grpc_method": method,
        }
        value = self.registry.get_sample_value(f"grpc_server_{name}", labels)
        assert value is not None, f"no sample {name} {labels}"
        return value

    async def handled(self, method: str, code: str) -> None:
        """Wait until a call is counted with this code; its caller may get the status a moment earlier."""
        await eventually(
            f"a call handled with {code}",
            lambda: self.value("handled_total", method, grpc_code=code) == 1,
        )
        codes = [
            self.value("handled_total", method, grpc_code=code.name) for code in grpc.StatusCode
        ]
        assert sum(codes) == self.value("started_total", method) == 1
        assert self.value("handling_seconds_count", method) == 1


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = Scene()
    await scene.server.start()
    yield scene
    await scene.server.stop(None)


@pytest.fixture
async def stub(scene: Scene) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{scene.port}") as channel:
        yield RecognitionServiceStub(channel)


@pytest.mark.parametrize("service", [SERVICE, HEALTH, REFLECTION], ids=lambda it: it.name)
def test_every_method_is_present_before_its_first_call(service: Any) -> None:
    registry = CollectorRegistry()
    GrpcMetrics(registry, [SERVICE, HEALTH, REFLECTION])
    types = {(False, False): "unary", (False, True): "server_stream", (True, True): "bidi_stream"}
    for method in service.methods:
        labels = {
            "grpc_type": types[method.client_streaming, method.server_streaming],
            "grpc_service": service.full_name,
            "grpc_method": method.name,
        }
        for name in ("started_total", "msg_received_total", "msg_sent_total"):
            assert registry.get_sample_value(f"grpc_server_{name}", labels) == 0
        assert registry.get_sample_value("grpc_server_handling_seconds_count", labels) == 0
        for code in grpc.StatusCode:
            coded = {**labels, "grpc_code": code.name}
            assert registry.get_sample_value("grpc_server_handled_total", coded) == 0


async def test_a_unary_call_is_one_message_each_way(scene: Scene, stub: Any) -> None:
    await stub.GetModel(pb.GetModelRequest())
    await scene.handled("GetModel", "OK")
    assert scene.value("msg_received_total", "GetModel") == 1
    assert scene.value("msg_sent_total", "GetModel") == 1


async def test_each_message_of_a_stream_is_counted_in_both_directions(
    scene: Scene, stub: Any
) -> None:
    call = stub.StreamRecognize()
    for number in range(1, 4):
        await call.write(pb.StreamRecognizeRequest())
        for _ in range(2):
            await call.read()
        assert scene.value("msg_received_total", "StreamRecognize") == number
    assert scene.value("started_total", "StreamRecognize") == 1
    assert scene.value("handled_total", "StreamRecognize", grpc_code="OK") == 0
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    await scene.handled("StreamRecognize", "OK")
    assert scene.value("msg_received_total", "StreamRecognize") == 3
    assert scene.value("msg_sent_total", "StreamRecognize") == 6


@pytest.mark.parametrize(
    ("wanted", "code"), [("abort", "NOT_FOUND"), ("raise", "UNKNOWN"), ("state", "DATA_LOSS")]
)
async def test_a_call_that_fails_is_counted_with_the_code_its_caller_sees(
    scene: Scene, stub: Any, wanted: str, code: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stub.GetModel(pb.GetModelRequest(model=wanted))
    assert failure.value.code().name == code
    await scene.handled("GetModel", code)
    assert scene.value("msg_received_total", "GetModel") == 1


async def test_a_stream_that_is_aborted_is_counted_with_its_code(scene: Scene, stub: Any) -> None:
    call = stub.StreamRecognize()
    await call.write(pb.StreamRecognizeRequest(config=pb.StreamConfig(model="abort")))
    assert (await call.code()) is grpc.StatusCode.INVALID_ARGUMENT
    await scene.handled("StreamRecognize", "INVALID_ARGUMENT")
    assert scene.value("msg_sent_total", "StreamRecognize") == 0


@pytest.mark.parametrize("method", ["GetModel", "StreamRecognize"])
async def test_a_caller_that_disconnects_is_counted_as_cancelled(
    scene: Scene, stub: Any, method: str
) -> None:
    if method == "GetModel":
        call = stub.GetModel(pb.GetModelRequest(model="wait"))
    else:
        # A handler that reads may see the end of the stream just before it is cancelled, and end with OK.
        call = stub.StreamRecognize()
        await call.write(pb.StreamRecognizeRequest(config=pb.StreamConfig(model="wait")))
    await scene.servicer.reached.wait()
    call.cancel()
    await scene.handled(method, "CANCELLED")


async def test_a_method_that_does_not_exist_is_answered_and_not_counted(scene: Scene) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{scene.port}") as channel:
        unknown: Any = channel.unary_unary("/inkstream.v1.RecognitionService/Forget")
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await unknown(b"")
    assert failure.value.code() is grpc.StatusCode.UNIMPLEMENTED
    for method in ("GetModel", "Recognize", "StreamRecognize"):
        assert scene.value("started_total", method) == 0
