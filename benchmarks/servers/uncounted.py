"""The server without metrics, to measure what counting costs.

`python -m benchmarks.servers.uncounted serve ...` takes the flags of `inkstream-server serve`.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from inkstream_server import server
from inkstream_server.cli import main
from inkstream_server.metrics import clients
from inkstream_server.metrics.items import Metrics


class _Uncounted(Metrics):
    """Registers everything and counts nothing: each public method does nothing."""


class _UncountedClient(clients.ClientFigures):
    """A client whose answers are not counted."""

    def answer(self, *_: object) -> None: ...


for _name in vars(Metrics):
    if not _name.startswith("_"):
        setattr(_Uncounted, _name, _UncountedClient.answer)


class _Unwatched(grpc.aio.ServerInterceptor):
    """Returns every handler unchanged."""

    def __init__(self, *_: object) -> None: ...

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: Any
    ) -> Any:
        return await continuation(details)


vars(clients).update(ClientFigures=_UncountedClient)
vars(server).update(Metrics=_Uncounted, GrpcMetrics=_Unwatched)

if __name__ == "__main__":
    main(prog_name="python -m benchmarks.servers.uncounted")
