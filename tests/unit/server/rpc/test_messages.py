"""Nothing that lives longer than a message refers to it: each part of it keeps the memory of all of it.

Every field of the contract is filled, so that this holds for fields to come, too.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from inkstream.v1 import ink_pb2
from inkstream.v1 import recognition_service_pb2 as pb
from inkstream_server.pens import settings
from inkstream_server.rpc.listener import add_methods
from inkstream_server.rpc.service import RecognitionService
from inkstream_server.streams.session import Limits

from tests.patience import eventually
from tests.unit.server.builders import GatedEngine, Workshop, model_of

REQUEST: Any = pb.StreamRecognizeRequest.DESCRIPTOR
EVENT: Any = ink_pb2.InkEvent.DESCRIPTOR
VALUES: dict[str, Any] = {
    "model": "digits",
    "uint8": bytes(784),
    "float32": bytes(3136),
    "quiet_ms": 9000,
}
"""Values of fields in which not every value is right."""
PIECES = 9000
"""Events that make a message so long that it is parsed in pieces."""


def filled(descriptor: Any, **chosen: str) -> Any:
    """A message with a value in every field, and in each `oneof` the chosen one, or else the last."""
    message = message_factory.GetMessageClass(descriptor)()
    for field in descriptor.fields:
        oneof = field.containing_oneof
        if oneof is not None and field.name != chosen.get(oneof.name, oneof.fields[-1].name):
            continue
        value: Any = VALUES.get(field.name, 1)
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            value = filled(field.message_type, **chosen)
        elif field.type == FieldDescriptor.TYPE_STRING:
            value = VALUES.get(field.name, "one")
        if isinstance(value, Message):
            part = getattr(message, field.name)
            (part.add() if field.is_repeated else part).CopyFrom(value)
            if not field.is_repeated:
                part.SetInParent()
        elif field.is_repeated:
            getattr(message, field.name).append(value)
        else:
            setattr(message, field.name, value)
    return message


def requests() -> Iterator[tuple[str, bytes]]:
    """A request of each kind, and ink with each kind of event: (name, bytes)."""
    (request,), (event,) = REQUEST.oneofs, EVENT.oneofs
    for kind in request.fields:
        if kind.message_type is ink_pb2.InkEvents.DESCRIPTOR:
            for act in event.fields:
                names = {request.name: kind.name, event.name: act.name}
                one = filled(REQUEST, **names)
                yield act.name, one.SerializeToString()
                one.ink.events.extend([ink_pb2.InkEvent(pen=9)] * PIECES)
                yield f"long {act.name}", one.SerializeToString()
        else:
            inner = [part for oneof in kind.message_type.oneofs for part in oneof.fields]
            for part in inner or [kind]:
                names = {request.name: kind.name}
                if part is not kind:
                    names[part.containing_oneof.name] = part.name
                yield part.name, filled(REQUEST, **names).SerializeToString()


def classes(descriptor: Any) -> Iterator[type]:
    """The types of the messages that a message consists of."""
    yield message_factory.GetMessageClass(descriptor)
    for field in descriptor.fields:
        if field.message_type is not None:
            yield from classes(field.message_type)


REQUESTS = {*classes(REQUEST)}


def survivors() -> list[str]:
    """The types of requests, of their parts and of their columns that something refers to."""
    alive = gc.get_objects()
    found = [type(it).__name__ for it in alive if type(it) in REQUESTS]
    referred = {id(it): type(it) for it in gc.get_referents(*alive)}
    columns = [it for it in referred.values() if it.__module__ == "google._upb._message"]
    return found + [it.__name__ for it in columns if "Container" in it.__name__]


@asynccontextmanager
async def serving() -> AsyncIterator[Any]:
    """The service, and a stream that sends and receives bytes."""
    engine = GatedEngine()
    workshop = Workshop(engine)
    model = model_of(engine)
    service = RecognitionService(model, workshop.batcher, workshop.metrics, Limits(4096, 64))
    server = grpc.aio.server()
    add_methods(server, "inkstream.v1.RecognitionService", service.handlers)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Any = channel.stream_stream("/inkstream.v1.RecognitionService/StreamRecognize")()
        yield service, call, workshop
        call.cancel()
        engine.release(100)
        await eventually("the stream ends", lambda: not service._sessions)
    await server.stop(None)
    await workshop.dispatcher.close()


def have_read(service: RecognitionService, messages: int) -> bool:
    """Whether the one stream has read so many messages after its first."""
    return [it.messages for it in service._sessions] == [messages]


@pytest.fixture
def fresh() -> Iterator[None]:
    """Hide all older objects from `survivors`."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


async def test_no_message_survives_while_its_answer_waits(fresh: None) -> None:
    sent = [*requests()]
    async with serving() as (service, call, workshop):
        for count, (name, message) in enumerate(sent):
            await call.write(message)
            await eventually(f"{name} is read", partial(have_read, service, count))
            await eventually(f"no part of {name} is left", lambda: not survivors())
            if name == "stroke_end":
                # What was filled in was accepted.
                assert workshop.value("inkstream_open_glyphs") == 1
                assert workshop.value("inkstream_points_total") == 2


async def test_a_message_that_survived_would_be_found(
    fresh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "read_options", lambda message: message)
    sent = dict(requests())
    async with serving() as (service, call, _):
        await call.write(sent["config"])
        await call.write(sent["open"])
        await eventually("a pen is open", lambda: any(it._ink._pens for it in service._sessions))
        await eventually("its options are left", lambda: survivors() == ["AnswerOptions"])
