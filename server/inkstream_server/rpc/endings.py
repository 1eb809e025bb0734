"""Ends a call with a status, and resets it if its caller does not take the status in time."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, NoReturn

import grpc

from inkstream_server.limits.memory_watch import REFUSED
from inkstream_server.rpc.event_loop import OPERATION_FAILED, reset_call

STATUS_SECONDS: Final = 10.0
"""How long an answer to a unary call may take, and a status may wait behind answers that the caller does not
read, and that gRPC holds until then."""


SHORT_SECONDS: Final = 1.0
"""The same while the process is short of memory, since the call holds some until it is over."""


CALL_AGAIN: Final = (("grpc-retry-pushback-ms", "2000"),)
"""Trailers of a status that may pass: after how many milliseconds to call again (gRFC A6)."""


def cut_off() -> Callable[[str], None]:
    """Give a function that ends the running task's call at once, by a reset; for an `Account`."""
    task = asyncio.current_task()
    assert task is not None, "a handler runs in a task"

    def end(_: str) -> None:
        reset_call(task)
        task.cancel()

    return end


async def refuse_for_memory(context: Any) -> NoReturn:
    """End a call that has begun while the process is short of memory."""
    await end_call(context, grpc.StatusCode.RESOURCE_EXHAUSTED, REFUSED, SHORT_SECONDS, CALL_AGAIN)


async def end_call(
    context: Any,
    code: grpc.StatusCode,
    details: str,
    seconds: float = STATUS_SECONDS,
    trailers: tuple[tuple[str, str], ...] = (),
) -> NoReturn:
    """End the call of the running task, which gRPC handles.

    Args:
        context: the call's.
        code: not OK.
        details: a sentence for the caller.
        seconds: how long the status may take.
        trailers: metadata that comes with the status.

    Raises:
        BaseException: what gRPC needs to learn that the call is over; let it pass.
    """
    try:
        async with asyncio.timeout(seconds):
            await context.abort(code, details, trailers)
    except (TimeoutError, OPERATION_FAILED):
        # It fails at once while the first message of the call has not left.
        reset_call()
        raise asyncio.CancelledError from None
    raise AssertionError("abort raises")


async def send(context: Any, message: bytes) -> None:
    """Send a message in the call of the running task. Resets the call if its caller does not take it in time.

    Raises:
        asyncio.CancelledError: the call was reset; let it pass.
    """
    try:
        async with asyncio.timeout(STATUS_SECONDS):
            await context.write(message)
    except TimeoutError:
        reset_call()
        raise asyncio.CancelledError from None
