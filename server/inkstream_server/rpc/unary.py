"""Unary methods, served by handlers of streams.

gRPC would read the message of a unary call before it calls any handler, however long that takes, and also for
a call that is refused. On the wire both are the same. A call takes 4 % more of a core than by gRPC's own
handler.
"""

from __future__ import annotations  # grpc.RpcMethodHandler takes type arguments in its stubs only.

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from inkstream.v1.recognition_service_pb2 import RecognizeRequest

from inkstream_server.access.first_message import FirstMessages, Status
from inkstream_server.limits.memory_book import Account, MemoryBook
from inkstream_server.rpc.endings import cut_off, refuse_for_memory, send
from inkstream_server.wire.fields import Malformed
from inkstream_server.wire.requests import require_few_parts

UNARY_SECONDS: Final = 10.0
"""Longest time until the message of a unary call is complete: 4 MB in it need 3.4 Mbit/s."""

CALL_BYTES: Final = 24_576
"""What gRPC and its task take for a call (measured: 236 MB for 10,000)."""

NO_MESSAGE: Final = Status(
    grpc.StatusCode.UNIMPLEMENTED, "message: expected one, got none before the end of the call"
)
"""How a unary call without a message ends; gRPC's own code for it."""

Request = TypeVar("Request", bound=Message)


def unary_handler(
    messages: FirstMessages,
    book: MemoryBook,
    request_type: type[Request],
    serve: Callable[[Request, Any, Account], Awaitable[Message]],
) -> grpc.RpcMethodHandler[Any, Any]:
    """Make the handler of a unary method.

    Args:
        messages: reads requests.
        book: counts what calls hold until their answer is sent.
        request_type: type of the request.
        serve: gives the answer to a request, its context and its account.
    """

    async def call(_requests: object, context: Any) -> None:
        if book.refuses():
            messages.refused("memory")
            await refuse_for_memory(context)
        raw = await messages.read(context, UNARY_SECONDS)
        if raw is None:
            await context.abort(*NO_MESSAGE)
            return
        # Until the answer is sent, or its caller has not taken it in time.
        with book.account(context.peer(), cut_off()) as account:
            size = CALL_BYTES + 2 * len(raw)  # As it came, and parsed.
            if size > account.room:
                messages.refused("memory")
                await context.abort(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    f"memory: the call needs {size} bytes, there is room for {account.room}: send it again "
                    "later",
                )
            account.hold("messages", size)
            answer = await serve(await parsed(request_type, raw, context), context, account)
            del raw
            content = answer.SerializeToString()
            account.hold("messages", CALL_BYTES - size)
            account.hold("answers", len(content))
            await send(context, content)

    return grpc.stream_stream_rpc_method_handler(call)


async def parsed(request_type: type[Request], raw: bytes, context: Any) -> Request:
    """Parse a message, or end its call with INVALID_ARGUMENT."""
    try:
        if request_type is RecognizeRequest:
            require_few_parts(raw)
        return request_type.FromString(raw)
    except (DecodeError, Malformed):
        await context.abort(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"message: expected a {request_type.DESCRIPTOR.name}, got {len(raw)} bytes that are none",
        )
        raise
