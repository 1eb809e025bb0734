"""The server's event loop: uvloop's if it is installed, with workarounds for two faults of gRPC."""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

from grpc._cython import cygrpc  # type: ignore[attr-defined]  # compiled, and not in its stubs

from inkstream_server import logs

if TYPE_CHECKING:
    _Base = asyncio.SelectorEventLoop
else:
    try:
        from uvloop import Loop as _Base
    except ImportError:  # Not made for Windows.
        _Base = asyncio.SelectorEventLoop

_OPERATION_FAILED: Any = getattr(cygrpc, "ExecuteBatchError", ())
"""gRPC's exception for a failed operation. It is not public; if gRPC renames it, the leak is back."""

_NEXT_UNKNOWN_CALL: Final = "AioServer._request_call"
"""gRPC's coroutine that waits for the next call of a method that is not registered; all of this server's are.
If gRPC renames it, one call can stop the server again, and `test_server_robustness.py` fails."""


class _Future(asyncio.Future[Any]):
    """A future that does not raise if an operation of a call fails.

    gRPC frees an operation's memory only if the future that waits for it does not raise (grpc#43360). An
    operation fails when its call is over, which nothing needs to learn from it: a read then gives the end of
    the stream, and the handler is cancelled in any case.
    """

    def set_exception(self, exception: type[BaseException] | BaseException, /) -> None:
        if isinstance(exception, _OPERATION_FAILED):
            self.set_result(None)
        else:
            super().set_exception(exception)


class _Loop(_Base):
    def create_future(self) -> asyncio.Future[Any]:
        return _Future(loop=self)

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        if getattr(coro, "__qualname__", None) == _NEXT_UNKNOWN_CALL:
            coro = self._refuse_unknown(coro)
        return super().create_task(coro, **options)

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


_refusals: set[asyncio.Task[Any]] = set()
"""Held until they are done, because the loop holds no task."""


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Make an event loop, for `asyncio.Runner`."""
    loop = _Loop()
    logs.watch_loop(loop)
    return loop
