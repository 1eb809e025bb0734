"""The server's event loop: uvloop's if it is installed, with workarounds for faults of gRPC."""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from grpc._cython import cygrpc  # type: ignore[attr-defined]  # compiled, and not in its stubs

from inkstream_server import logs

if TYPE_CHECKING:
    _Base = asyncio.SelectorEventLoop
else:
    try:
        from uvloop import Loop as _Base
    except ImportError:  # Not made for Windows.
        _Base = asyncio.SelectorEventLoop

OPERATION_FAILED: Any = getattr(cygrpc, "ExecuteBatchError", ())
"""gRPC's exception for a failed operation. It is not public; if gRPC renames it, the leak is back."""

_NEXT_UNKNOWN_CALL: Final = "AioServer._request_call"
"""gRPC's coroutine that waits for the next call of a method that is not registered; all of this server's are.
If gRPC renames it, one call can stop the server again, and `test_server_robustness.py` fails."""

_HANDLING: Final = "_handle_exceptions"
"""gRPC's coroutine that runs the handler of a call. If gRPC renames it, callers that take no status keep
their calls open, and `test_stream_memory.py` fails."""


class _Future(asyncio.Future[Any]):
    """A future that does not raise if an operation of a call fails.

    gRPC frees an operation's memory only if the future that waits for it does not raise (grpc#43360). An
    operation fails when its call is over, which nothing needs to learn from it: a read then gives the end of
    the stream, and the handler is cancelled in any case.
    """

    def set_exception(self, exception: type[BaseException] | BaseException, /) -> None:
        if isinstance(exception, OPERATION_FAILED):
            self.set_result(None)
        else:
            super().set_exception(exception)


class _Loop(_Base):
    def create_future(self) -> asyncio.Future[Any]:
        return _Future(loop=self)

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        name = getattr(coro, "__qualname__", None)
        if name == _NEXT_UNKNOWN_CALL:
            coro = self._refuse_unknown(coro)
        task = super().create_task(coro, **options)
        if name == _HANDLING and (watching := asyncio.current_task(self)) is not None:
            _watching[task] = watching
        return task

    async def _refuse_unknown(self, next_call: Coroutine[Any, Any, Any]) -> None:
        """Answer a call of a method that this server does not have with UNIMPLEMENTED.

        gRPC would decode the name of the method in its accept loop. A name that is not UTF-8 ends that loop,
        gRPC stops the server, and every caller is disconnected: one frame of a stranger would do.
        """
        call = await next_call
        resolver = cygrpc._MethodResolver([], {})
        refusal = cygrpc._handle_rpc("", resolver, (), call, self, False)
        _refusals.add(
            refusing := super().create_task(cygrpc._schedule_rpc_coro(refusal, call, self, ""))
        )
        refusing.add_done_callback(_refusals.discard)
        # For gRPC's accept loop: no call came, wait for the next one.
        raise cygrpc._RequestCallError


_watching: WeakKeyDictionary[asyncio.Task[Any], asyncio.Task[Any]] = WeakKeyDictionary()
"""For each task that handles a call, gRPC's task that waits for the end of the call."""


def reset_call(handling: asyncio.Task[Any] | None = None) -> None:
    """Reset the call that a task handles, the running one by default, as soon as the task has ended.

    A status waits behind messages that the caller does not read, for ever if it never reads them, and gRPC
    offers no other way to end a call. But it resets a call that it drops, and it drops it together with the
    task that waits for its end.
    """
    handling = handling or asyncio.current_task()
    watching = _watching.get(handling) if handling is not None else None
    if handling is not None and watching is not None:
        handling.add_done_callback(lambda _: watching.cancel())


_refusals: set[asyncio.Task[Any]] = set()
"""Held until they are done, because the loop holds no task."""


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Make an event loop, for `asyncio.Runner`."""
    loop = _Loop()
    logs.watch_loop(loop)
    return loop
