from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from inkstream.v1.recognition_service_pb2 import (
    DESCRIPTOR,
    GetModelRequest,
    GetModelResponse,
)
from inkstream.v1.recognition_service_pb2_grpc import RecognitionServiceStub
from inkstream_server.access.first_message import FirstMessages, Refusal
from inkstream_server.limits.memory_book import Account, MemoryBook, MemoryLimits
from inkstream_server.metrics.grpc_calls import GrpcMetrics
from inkstream_server.rpc import endings, unary
from inkstream_server.rpc.event_loop import new_event_loop
from inkstream_server.rpc.listener import add_methods
from inkstream_server.rpc.unary import unary_handler
from prometheus_client import CollectorRegistry

from tests.http2 import DATA, END_STREAM, call, connected, frame, message, read_until
from tests.patience import eventually

SERVICE = DESCRIPTOR.services_by_name["RecognitionService"]
GET_MODEL = b"/inkstream.v1.RecognitionService/GetModel"


class Scene:
    """A service of one unary method, whose answer holds the name that was asked for."""

    def __init__(self, most: int = 100, memory: int = 2**30) -> None:
        self.refused: Counter[Refusal] = Counter()
        self.book = MemoryBook(MemoryLimits(process=memory))
        self.registry = CollectorRegistry()
        messages = FirstMessages(most, lambda reason: self.refused.update([reason]))
        self.handler = unary_handler(messages, self.book, GetModelRequest, self.answer)
        self.address = ""

    async def answer(self, request: GetModelRequest, context: Any, _: Account) -> GetModelResponse:
        if request.model == "abort":
            await context.abort(grpc.StatusCode.NOT_FOUND, "no")
        response = GetModelResponse()
        response.model.name = request.model
        return response

    def value(self, name: str, **labels: str) -> float | None:
        named = {"grpc_type": "unary", "grpc_service": SERVICE.full_name, "grpc_method": "GetModel"}
        return self.registry.get_sample_value(f"grpc_server_{name}", named | labels)


@asynccontextmanager
async def serving(scene: Scene) -> AsyncIterator[Any]:
    server = grpc.aio.server(interceptors=[GrpcMetrics(scene.registry, [SERVICE])])
    add_methods(server, SERVICE.full_name, {"GetModel": scene.handler})
    scene.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    async with grpc.aio.insecure_channel(scene.address) as channel:
        yield RecognitionServiceStub(channel)
    await server.stop(None)


def status_of(
    address: str, *frames: bytes, window: int = 65_535, wanted: bytes = b"grpc-status"
) -> bytes:
    """Send frames on a new connection; return what the server has sent when the wanted bytes came."""
    with connected(address, window=window) as connection:
        connection.sendall(b"".join(frames))
        return read_until(connection, wanted)


async def test_a_call_is_answered_and_counted_as_unary() -> None:
    scene = Scene()
    async with serving(scene) as stub:
        answer = await stub.GetModel(GetModelRequest(model="digits"))
        assert answer.model.name == "digits"
        await eventually("handled", lambda: scene.value("handled_total", grpc_code="OK") == 1)
    assert [scene.value(f"{name}_total") for name in ("started", "msg_received", "msg_sent")] == [
        1
    ] * 3
    assert scene.book.process.held == 0
    assert not scene.refused


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ([message(1, b"\xff\xff\xff")], b"\x013"),
        ([frame(DATA, END_STREAM, 1)], b"\x0212"),
        ([message(1, b""), message(1, b"")], b"\x010"),
    ],
    ids=["rubbish", "no message", "two messages"],
)
async def test_another_number_of_messages_or_rubbish_gets_the_status_that_grpc_gives(
    sent: list[bytes], status: bytes
) -> None:
    scene = Scene()
    async with serving(scene):
        await asyncio.to_thread(
            status_of, scene.address, call(1, GET_MODEL), *sent, wanted=b"grpc-status" + status
        )


async def test_a_message_that_is_not_complete_in_time_ends_its_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unary, "UNARY_SECONDS", 0.05)
    scene = Scene()
    begun = call(1, GET_MODEL) + message(1, bytes(1000), length=4_000_000)
    async with serving(scene):
        await asyncio.to_thread(status_of, scene.address, begun, wanted=b"grpc-status\x014")
        await eventually(
            "handled", lambda: scene.value("handled_total", grpc_code="DEADLINE_EXCEEDED") == 1
        )
    assert scene.refused == {"late": 1}


async def test_an_unfinished_message_gives_way_when_too_many_are_on_their_way() -> None:
    scene = Scene(most=2)
    begun = [call(at, GET_MODEL) + message(at, b"", length=4_000_000) for at in (1, 3, 5)]
    async with serving(scene) as stub:
        await asyncio.to_thread(status_of, scene.address, *begun, wanted=b"grpc-status\x018")
        assert (await stub.GetModel(GetModelRequest(model="digits"))).model.name == "digits"
    assert scene.refused["crowded"] in (1, 2)


async def test_a_call_that_has_no_room_is_refused_at_once() -> None:
    scene = Scene(memory=100_000)
    async with serving(scene) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetModel(GetModelRequest(model="x" * 100_000))
        await stub.GetModel(GetModelRequest(model="x" * 1000))
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert scene.refused == {"memory": 1}
    assert scene.book.process.held == 0


def test_a_caller_that_takes_no_answer_is_reset_and_holds_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(endings, "STATUS_SECONDS", 0.05)

    async def main() -> None:
        scene = Scene()
        async with serving(scene):
            content = GetModelRequest(model="x").SerializeToString()
            # Several, because gRPC holds the first call of a server, and the last one until the next comes.
            asked = [call(at, GET_MODEL) + message(at, content) for at in (1, 3, 5)]
            reset = b"\0\0\4\3\0\0\0\0\3"  # RST_STREAM of stream 3.
            await asyncio.to_thread(status_of, scene.address, *asked, window=0, wanted=reset)
            await eventually("freed", lambda: scene.book.process.held == 0)

    # Only the server's own loop can reset a call.
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())


def calls_in_memory() -> int:
    return sum(type(it).__name__ == "_ServicerContext" for it in gc.get_objects())


@pytest.mark.parametrize("name", ["digits", "abort"])
async def test_a_call_that_is_over_is_freed_without_the_garbage_collector(name: str) -> None:
    scene = Scene()
    async with serving(scene) as stub:
        gc.collect()
        before = calls_in_memory()
        gc.disable()
        try:
            for _ in range(20):
                await asyncio.wait([asyncio.ensure_future(settled(stub.GetModel, name))])
            await eventually("freed", lambda: calls_in_memory() <= before + 2)
        finally:
            gc.enable()


async def settled(get_model: Callable[[GetModelRequest], Any], name: str) -> None:
    """Make a call, whatever its status."""
    call = get_model(GetModelRequest(model=name))
    await call.code()
