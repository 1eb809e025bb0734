"""Measures the memory that streams leave behind in a server: `python -m tests.integration.weighing cancels`.

Prints bytes a stream. Weighed is what was taken from malloc and not given back, which is where gRPC's own
leaks lie: resident memory is a thousand times coarser, and Python's objects have an allocator of their own.
The callers are another process, since `grpc.aio` leaves something behind on either side.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import sys

from inkstream_server import logs
from inkstream_server.config import Config
from inkstream_server.server import Server, run_loop

from tests.integration.contract import open_stream, stub
from tests.patience import eventually

STREAMS = 1000
FRAMES = 64


class _Mallinfo(ctypes.Structure):
    """`struct mallinfo2` of glibc."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def is_possible() -> bool:
    """Whether this machine's C library reports its allocations."""
    return hasattr(ctypes.CDLL(None), "mallinfo2")


def taken() -> int:
    """Bytes that the process has allocated by malloc and not freed."""
    gc.collect()
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = _Mallinfo
    weighed = mallinfo2()
    return int(weighed.uordblks + weighed.hblkhd)


async def call(address: str, way: str) -> None:
    """Open streams one after the other, get some answers on each, and end it in the given way."""
    async with stub(address) as service:
        for _ in range(STREAMS):
            stream = await open_stream(service)
            if way == "cancels-early":
                for first in (0, FRAMES):
                    frames = range(first, first + FRAMES)
                    await stream.send(sequences=frames, uint8=bytes(784 * FRAMES))
                stream.call.cancel()
                continue
            await stream.send(sequences=range(FRAMES), uint8=bytes(784 * FRAMES))
            await stream.receive_until(FRAMES)
            if way == "half-closes":
                await stream.finish()
            else:
                stream.call.cancel()


async def weigh(way: str) -> None:
    """Print the bytes that a stream leaves behind, after a warm-up."""
    logs.configure("text", "error")
    server = Server(Config(port=0, metrics_port=0))
    await server.open()
    await server.start()
    after: list[int] = []
    for _ in range(2):
        callers = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.integration.weighing", way, server.address)
        )
        assert await callers.wait() == 0
        await eventually(
            "no streams", lambda: server.registry.get_sample_value("inkstream_streams") == 0
        )
        after.append(taken())
    sys.stdout.write(f"{(after[1] - after[0]) / STREAMS:.1f}\n")
    await server.drain()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        asyncio.run(call(sys.argv[2], sys.argv[1]))
    elif sys.argv[1:]:
        run_loop(weigh(sys.argv[1]))
    else:
        sys.exit("usage: python -m tests.integration.weighing cancels|cancels-early|half-closes")
