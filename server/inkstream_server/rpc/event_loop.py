"""The event loop that a server runs in: uvloop's where there is one, with a way around a leak of gRPC."""

import asyncio
from typing import TYPE_CHECKING, Any

from grpc._cython import cygrpc  # type: ignore[attr-defined]  # compiled, and not in its stubs

if TYPE_CHECKING:
    _Base = asyncio.SelectorEventLoop
else:
    try:
        from uvloop import Loop as _Base
    except ImportError:  # Not made for Windows.
        _Base = asyncio.SelectorEventLoop

_OPERATION_FAILED: Any = getattr(cygrpc, "ExecuteBatchError", ())
"""What gRPC makes of an operation that failed. Not public; where it is called otherwise, the leak is back."""


class _Future(asyncio.Future[Any]):
    """What waits for an operation of a call, among others.

    gRPC frees what it took for an operation only if the future that waits for it does not raise (grpc#43360).
    An operation fails when its call is over, and nobody needs to be told: a read gives the end of the stream,
    a write went nowhere, and the handler is cancelled besides.
    """

    def set_exception(self, exception: type[BaseException] | BaseException, /) -> None:
        if isinstance(exception, _OPERATION_FAILED):
            self.set_result(None)
        else:
            super().set_exception(exception)


class _Loop(_Base):
    def create_future(self) -> asyncio.Future[Any]:
        return _Future(loop=self)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Make a loop for `asyncio.Runner`."""
    return _Loop()
