"""What runs in a worker: the same server as without workers, told what to do through a socket.

The supervisor writes words, a line each: `announce` when all serve, and `report` for the metrics. The
worker writes JSON, a line each: `{"serving": {...}}` or `{"failed": "why"}` once, and `{"report": [...]}` for
each word of that name, and a last one when it is drained. SIGTERM drains it, and so does the end of the
socket, for without a supervisor nobody would.

Nothing of gRPC is imported until the process is on its core.
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
from inkstream_server.errors import StartError
from inkstream_server.process import affinity
from inkstream_server.workers.metric_sums import report

if TYPE_CHECKING:
    from inkstream_server.server import Server

Say = Callable[..., None]


def run(config: Config, number: int, port: int, supervisor: socket.socket) -> None:
    """Serve until drained; the whole life of a worker's process.

    Args:
        config: the settings of all workers.
        number: which worker this is, from 0.
        port: shared with the others, never 0.
        supervisor: where words come from and reports go.
    """
    # A terminal interrupts all processes at once; when to drain is the supervisor's business.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logs.configure(config.log_format, config.log_level, worker=number)
    if config.pin:
        affinity.pin(number)
    from inkstream_server import server as lifecycle

    lifecycle.run_loop(_live(replace(config, port=port), supervisor))


async def _live(config: Config, supervisor: socket.socket) -> None:
    from inkstream_server.server import Server

    leave = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leave.set)
    logs.shift_on_signals(asyncio.get_running_loop())
    words, lines = await asyncio.open_connection(sock=supervisor)

    def say(**message: object) -> None:
        lines.write(json.dumps(message).encode() + b"\n")

    server = Server(config, shares_port=True)
    try:
        await server.open()
    except StartError as error:
        say(failed=str(error))
    else:
        await server.start()
        say(serving={"model": server.model.label, "engine": server.model.engine.name})
        listening = asyncio.create_task(_obey(words, server, say, leave))
        await leave.wait()
        await server.drain()
        listening.cancel()
        await asyncio.wait([listening])
        say(report=report(server.registry))
    with suppress(ConnectionError):  # The supervisor may have died.
        # Closed at once, a word under way would meet a closed socket, and the last report be lost.
        lines.write_eof()
        while await words.read(4096):
            pass
    lines.close()


async def _obey(
    words: asyncio.StreamReader, server: "Server", say: Say, leave: asyncio.Event
) -> None:
    with suppress(ConnectionError):
        async for line in words:
            if line == b"announce\n":
                await server.announce()
            else:
                say(report=report(server.registry))
    leave.set()
