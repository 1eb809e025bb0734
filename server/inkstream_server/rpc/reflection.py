"""The reflection service (grpc.reflection.v1alpha): it tells clients such as grpcurl what can be called."""

from __future__ import annotations  # grpc.RpcMethodHandler takes type arguments in its stubs only.

from collections.abc import Sequence
from typing import Any, Final

import grpc
from grpc_reflection.v1alpha.reflection import ReflectionServicer
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest

from inkstream_server.access.first_message import FirstMessages
from inkstream_server.rpc.endings import send
from inkstream_server.rpc.unary import parsed

REFLECTION_SECONDS: Final = 300.0
"""Longest time between two questions of a stream."""

MOST_BYTES: Final = 1024
"""Longest question. An answer repeats it."""


def reflection_handlers(
    names: Sequence[str], messages: FirstMessages
) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
    """Make the handler of each method, by its name.

    Args:
        names: full names of the services that can be called.
        messages: reads requests.
    """
    servicer = ReflectionServicer(names)

    async def answer(_requests: object, context: Any) -> None:
        while (raw := await messages.read(context, REFLECTION_SECONDS)) is not None:
            if len(raw) > MOST_BYTES:
                await context.abort(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"message: expected at most {MOST_BYTES} bytes, got {len(raw)}",
                )
            request = await parsed(ServerReflectionRequest, raw, context)
            for response in servicer.ServerReflectionInfo(iter([request]), context):
                await send(context, response.SerializeToString())

    return {"ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(answer)}
