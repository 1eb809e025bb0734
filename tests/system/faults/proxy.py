"""A network that can be spoiled: passes bytes between clients and a server, and fails as links fail.

Knows TCP and nothing of what travels. Loss and reordering never reach a TCP application as such: the
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
    """How a link behaves, each way alike."""

    delay: float = 0.0
    """Seconds that every byte travels."""
    jitter: float = 0.0
    """Seconds that a piece may take besides, at random; what comes after it waits behind it."""
    stalls: float = 0.0
    """Share of pieces that are lost once: all behind them wait `stall_seconds` for them."""
    stall_seconds: float = 0.2
    """What it costs to send a lost piece again: Linux's least retransmission timeout."""
    bytes_per_second: float | None = None
    """What the link carries; None for all there is."""


FAIR = Weather()


class FaultProxy:
    """A TCP port that leads to another one, through whatever weather there is.

    Lives in the running event loop. Connections come to be by `weather` as it is when bytes arrive, so
    setting it changes open ones, too.
    """

    def __init__(self, target: str, seed: int = 1) -> None:
        """Prepare.

        Args:
            target: "host:port" of the server.
            seed: what jitter and stalls are drawn from.
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
        """How links behave from now on."""
        self.connections = 0
        """Connections that were made so far."""

    async def start(self) -> None:
        """Listen on a free port of the loopback."""
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def freeze(self) -> None:
        """Cut the cable: nothing passes any more, and nobody is told."""
        self._passes.clear()

    def thaw(self) -> None:
        """Mend the cable: what was sent meanwhile arrives."""
        self._passes.set()

    def truncate_after(self, count: int) -> None:
        """Close every connection after `count` more bytes, all connections and ways together."""
        self._left = count

    def reset(self) -> None:
        """Break all connections at once, both sides hearing a reset."""
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
            _abort(back)  # The server is not there: its port would have said so itself.
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
        """Carry one way, each piece arriving when it is due, in order."""
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
        """Seconds for which a piece keeps the link to itself."""
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
    """A proxy before `target`, as long as the block lasts."""
    proxy = FaultProxy(target)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()


def _abort(flow: asyncio.StreamWriter) -> None:
    """Close with a reset: lingering for no time makes the kernel send one."""
    held = flow.get_extra_info("socket")
    if held is not None and held.fileno() >= 0:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    flow.transport.abort()
