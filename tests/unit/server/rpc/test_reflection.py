from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from inkstream_server.access.first_message import FirstMessages
from inkstream_server.rpc.listener import add_methods
from inkstream_server.rpc.reflection import MOST_BYTES, reflection_handlers

SERVICE = "inkstream.v1.RecognitionService"


@pytest.fixture
async def reflection() -> AsyncIterator[Any]:
    server = grpc.aio.server()
    handlers = reflection_handlers([SERVICE], FirstMessages(4))
    add_methods(server, "grpc.reflection.v1alpha.ServerReflection", handlers)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield ServerReflectionStub(channel).ServerReflectionInfo
    await server.stop(None)


async def test_a_client_finds_services_and_their_files_on_one_stream(reflection: Any) -> None:
    stream = reflection()
    await stream.write(ServerReflectionRequest(list_services=""))
    answer = await stream.read()
    assert [it.name for it in answer.list_services_response.service] == [SERVICE]
    await stream.write(ServerReflectionRequest(file_containing_symbol=SERVICE))
    answer = await stream.read()
    assert len(answer.file_descriptor_response.file_descriptor_proto) > 1
    await stream.write(ServerReflectionRequest(file_by_filename="none.proto"))
    assert (await stream.read()).error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    await stream.done_writing()
    assert await stream.code() is grpc.StatusCode.OK


async def test_a_long_question_is_not_repeated_in_an_answer(reflection: Any) -> None:
    stream = reflection()
    await stream.write(ServerReflectionRequest(file_by_filename="x" * MOST_BYTES))
    assert await stream.code() is grpc.StatusCode.INVALID_ARGUMENT
