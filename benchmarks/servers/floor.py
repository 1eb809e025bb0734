"""The floor: a bare `grpc.aio` server that answers every message with a canned one of the right size.

`python -m benchmarks.servers.floor raw|stubs IMAGES_PER_MESSAGE READY_FILE`. It reads and writes messages,
which no server can leave out, and does nothing else.
"""

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import uvloop
from inkstream.v1.recognition_service_pb2 import StreamRecognizeResponse
from inkstream.v1.recognition_service_pb2_grpc import (
    RecognitionServiceServicer,
    add_RecognitionServiceServicer_to_server,
)
from inkstream.v1.tensor_pb2 import TensorResults

METHOD = "StreamRecognize"
SERVICE = "inkstream.v1.RecognitionService"


def _answer(per_message: int) -> bytes:
    """Build the answer that a server sends to a message of `per_message` images."""
    results = TensorResults(
        sequences=range(1000, 1000 + per_message),
        digits=[7] * per_message,
        confidences=[0.5] * per_message,
        model_version="digits/1",
    )
    return StreamRecognizeResponse(tensors=[results]).SerializeToString()


class _Stubs(RecognitionServiceServicer):
    """The floor as a tutorial would write it: generated stubs and an async generator."""

    def __init__(self, reply: bytes) -> None:
        self._reply = StreamRecognizeResponse.FromString(reply)

    async def StreamRecognize(  # noqa: N802 (named by the contract)
        self, request_iterator: Any, context: Any
    ) -> AsyncIterator[StreamRecognizeResponse]:
        async for _ in request_iterator:
            yield self._reply


async def _serve(kind: str, per_message: int, ready: Path) -> None:
    reply = _answer(per_message)

    async def echo(_: Any, context: Any) -> None:
        while await context.read() is not grpc.aio.EOF:
            await context.write(reply)

    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 2**26)])
    if kind == "raw":
        handlers: dict[str, Any] = {METHOD: grpc.stream_stream_rpc_method_handler(echo)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    else:
        add_RecognitionServiceServicer_to_server(_Stubs(reply), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    content = json.dumps({"address": f"127.0.0.1:{port}"})
    ready.write_text(content)  # noqa: ASYNC240 (no stream is open yet)
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
