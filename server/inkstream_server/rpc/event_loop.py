"""The server's event loop: uvloop's if it is installed, with a workaround for a leak of gRPC."""

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
"""gRPC's exception for a failed operation. It is not public; if gRPC renames it, the leak is back."""


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


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Make an event loop, for `asyncio.Runner`."""
    return _Loop()
