"""Runs a worker: the same server as without workers, controlled through a socket.

The supervisor writes a word a line: `announce` when all workers serve, and `report` to ask for the metrics.
The worker writes a JSON object a line: `{"serving": {...}}` or `{"failed": "why"}` once, `{"report": [...]}`
for each `report`, and a last report when it is drained. SIGTERM drains it, and so does the end of the socket,
since the supervisor may have died.

gRPC is imported after the process is pinned to its core, so that its threads start there.
"""

import asyncio
import json
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from inkstream_server import logs
from inkstream_server.config import Config
from inkstream_server.errors import ServeError, StartError
from inkstream_server.process import affinity, signals
from inkstream_server.workers.metric_sums import report

if TYPE_CHECKING:
    from inkstream_server.server import Server

Send = Callable[..., None]


def run(config: Config, number: int, port: int, supervisor: socket.socket) -> None:
    """Serve until drained: the whole life of a worker process.

    Args:
        config: the settings of all workers.
        number: which worker this is, from 0.
        port: the port that all workers share, never 0.
        supervisor: the connection to the supervisor.
    """
    # A terminal signals all processes at once, but the supervisor decides when to drain.
    for of_terminal in (signal.SIGINT, signal.SIGHUP):
        signal.signal(of_terminal, signal.SIG_IGN)
    logs.configure(config.log_format, config.log_level, worker=number)
    with logs.whole_process():
        if config.pin:
            affinity.pin(number)
        from inkstream_server.server import run_loop

        run_loop(_live(replace(config, port=port), supervisor))


async def _live(config: Config, supervisor: socket.socket) -> None:
    from inkstream_server.server import Server, unless

    leave = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leave.set)
    logs.shift_on_signals(asyncio.get_running_loop())
    signals.deliver()
    words, lines = await asyncio.open_connection(sock=supervisor)

    def send(**message: object) -> None:
        lines.write(json.dumps(message).encode() + b"\n")

    server = Server(config, shares_port=True)
    try:
        await server.open()
    except StartError as error:
        send(failed=str(error))
    else:
        await server.start()
        send(serving={"model": server.model.label, "engine": server.model.images.engine.name})
        listening = asyncio.create_task(_obey(words, server, send, leave))
        try:
            await unless(leave, server.lost())
        except ServeError as lost:
            send(failed=str(lost))
        await server.drain()
        listening.cancel()
        await asyncio.wait([listening])
        send(report=report(server.registry))
    with suppress(ConnectionError):  # The supervisor may have died.
        # Reads to the end: a word that arrives at a closed socket would make the last report get lost.
        lines.write_eof()
        while await words.read(4096):
            pass
    lines.close()


async def _obey(
    words: asyncio.StreamReader, server: "Server", send: Send, leave: asyncio.Event
) -> None:
    with suppress(ConnectionError):
        async for line in words:
            if line == b"announce\n":
                await server.announce()
            else:
                send(report=report(server.registry))
    leave.set()
