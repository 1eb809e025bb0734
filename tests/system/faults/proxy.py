"""A network with faults: passes bytes between clients and a server, and fails like real links.

Handles TCP only, not its content. Loss and reordering never reach a TCP application as such: the
kernel hides them behind waits, so they are made as waits here (`stalls`, `jitter`).
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

CHUNK_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Weather:
    """Behaviour of a link, the same in both directions."""

    delay: float = 0.0
    """Delay of every byte in seconds."""
    jitter: float = 0.0
    """Largest random extra delay of a piece in seconds; later pieces wait behind it."""
    stalls: float = 0.0
    """Share of pieces that are lost once; all pieces behind them wait `stall_seconds`."""
    stall_seconds: float = 0.2
    """Delay of a lost piece: Linux's least retransmission timeout."""
    bytes_per_second: float | None = None
    """Bytes a second that the link carries; None for no limit."""


FAIR = Weather()


class FaultProxy:
    """A TCP port that leads to another one, over a link with the current `weather`.

    Runs in the running event loop. `weather` applies to bytes when they arrive, so
    setting it changes open ones, too.
    """

    def __init__(self, target: str, seed: int = 1) -> None:
        """Prepare.

        Args:
            target: "host:port" of the server.
            seed: of jitter and stalls.
        """
        host, _, port = target.rpartition(":")
        self._target = host, int(port)
        self._random = random.Random(seed)
        self._flows: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._passes = asyncio.Event()
        self._passes.set()
        self._left: int | None = None
        self.weather = FAIR
        """Behaviour of links from now on."""
        self.connections = 0
        """Number of connections so far."""

    async def start(self) -> None:
        """Listen on a free port of the loopback."""
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def freeze(self) -> None:
        """Cut the cable: no byte passes any more, and neither side is notified."""
        self._passes.clear()

    def thaw(self) -> None:
        """Restore the cable: bytes sent meanwhile arrive."""
        self._passes.set()

    def truncate_after(self, count: int) -> None:
        """Close every connection after `count` more bytes, counted over all connections and directions."""
        self._left = count

    def reset(self) -> None:
        """Break all connections at once with a reset on both sides."""
        for flow in [*self._flows]:
            _abort(flow)

    async def stop(self) -> None:
        """Break everything and stop listening."""
        self._server.close()
        self.reset()
        for task in [*self._tasks]:
            task.cancel()
        if self._tasks:
            await asyncio.wait([*self._tasks])

    async def _connect(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        try:
            far, forth = await asyncio.open_connection(*self._target)
        except OSError:
            _abort(back)  # The server is down, and its own port would refuse the connection.
            return
        self.connections += 1
        self._flows |= {back, forth}
        for source, sink in ((near, forth), (far, back)):
            task = asyncio.create_task(self._carry(source, sink, (back, forth)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
    ) -> None:
        """Carry one direction: each piece arrives in order, when it is due."""
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(256)

        async def fetch() -> None:
            free = due = 0.0
            while True:
                piece = await source.read(CHUNK_BYTES)
                free = max(free, loop.time()) + self._occupied(len(piece))
                due = max(due, free + self._travel())
                await pieces.put((due, piece))
                if not piece:
                    return

        fetching = asyncio.create_task(fetch())
        try:
            while True:
                due, piece = await pieces.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                await self._passes.wait()
                if not piece:
                    sink.write_eof()
                    return
                if self._left is not None:
                    piece = piece[: self._left]
                    self._left -= len(piece)
                sink.write(piece)
                await sink.drain()
                if self._left == 0:
                    self._left = None
                    for end in ends:
                        end.close()
                    return
        except OSError:
            for end in ends:
                _abort(end)
        finally:
            fetching.cancel()
            await asyncio.wait([fetching])
            if not fetching.cancelled() and fetching.exception() is not None:
                for end in ends:
                    _abort(end)
            self._flows.discard(sink)

    def _occupied(self, size: int) -> float:
        """Return the seconds for which a piece occupies the link."""
        rate = self.weather.bytes_per_second
        return size / rate if rate else 0.0

    def _travel(self) -> float:
        weather = self.weather
        seconds = weather.delay + weather.jitter * self._random.random()
        if weather.stalls and self._random.random() < weather.stalls:
            seconds += weather.stall_seconds
        return seconds


@asynccontextmanager
async def fault_proxy(target: str) -> AsyncIterator[FaultProxy]:
    """Run a proxy before `target` while the block lasts."""
    proxy = FaultProxy(target)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()


def _abort(flow: asyncio.StreamWriter) -> None:
    """Close with a reset, which the kernel sends for a linger time of 0."""
    held = flow.get_extra_info("socket")
    if held is not None and held.fileno() >= 0:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    flow.transport.abort()
