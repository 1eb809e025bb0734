"""Live pens: real ink in real time over many streams, and the time from each pen-up to its answer."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import uvloop
from inkstream.ink import Ink
from inkstream.v1.ink_pb2 import GLYPH_STATE_FINAL, GLYPH_STATE_PROVISIONAL
from inkstream.v1.recognition_service_pb2 import StreamRecognizeResponse

from benchmarks.load.bodies import CONFIG, PATH
from benchmarks.load.writing import Script, scripts
from benchmarks.servers import processes

LATE_SECONDS = 0.050
"""Limit of the 99th percentile: such an answer feels immediate to a writer."""
WARM_SECONDS = 2.0
"""Left out of the figures, because all pens open at once, which devices do not."""
DRAIN_SECONDS = 60.0
"""Longest wait at the end for a server that is behind."""
RIGHT_AT_LEAST = 0.9


@dataclass(frozen=True, slots=True)
class Writing:
    """One run."""

    pens: int
    streams: int
    answers: int
    """Provisional answers measured."""
    p50_ms: float
    p99_ms: float
    worst_ms: float
    sent_late_p99_ms: float
    """Delay of the load generator, which is part of the latencies."""
    cpu: float
    """Share of its core that the server used."""
    packets_per_second: float
    right: float
    """Share of final answers that match the label."""
    resident_mb: float

    @property
    def is_on_time(self) -> bool:
        """Whether the 99th percentile is within LATE_SECONDS."""
        return self.p99_ms <= LATE_SECONDS * 1000


@asynccontextmanager
async def _stream(address: str, script: Script) -> AsyncIterator[Any]:
    """Open a stream with all its pens, on its own connection as a device does."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        call: Any = channel.stream_stream(PATH)(wait_for_ready=True)
        await call.write(CONFIG)
        await call.read()
        await call.write(script.opening)
        yield call


async def _play(call: Any, script: Script, start: float, late: list[float]) -> dict[Any, float]:
    """Play one stream; return when each (pen, last stroke, state) was first answered, in seconds."""
    received: dict[Any, float] = {}
    finals: dict[Any, int] = {}

    async def read() -> None:
        while (data := await call.read()) is not grpc.aio.EOF:
            now = time.perf_counter() - start
            message = StreamRecognizeResponse.FromString(data)
            if message.errors:
                raise RuntimeError(f"the server rejected ink: {message.errors[0]}")
            for glyph in message.glyphs:
                key = glyph.pen, max(glyph.strokes), glyph.state
                received.setdefault(key, now)
                if glyph.state == GLYPH_STATE_FINAL:
                    finals[key[:2]] = glyph.digit

    reader = asyncio.create_task(read())
    for at, message in script.sends:
        wait = start + at - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        late.append(time.perf_counter() - start - at)
        await call.write(message)
    await call.done_writing()
    async with asyncio.timeout(DRAIN_SECONDS):
        await reader
    # A packet sent late may split a digit in two: a wrong answer, but an answer.
    if missing := script.labels.keys() - finals.keys():
        raise RuntimeError(f"{len(missing)} of {len(script.labels)} digits were not answered")
    received["right"] = sum(finals[key] == label for key, label in script.labels.items())
    return received


def play(
    inks: list[Ink],
    *,
    pens: int,
    streams: int,
    seconds: float,
    flags: tuple[str, ...] = (),
    beside: Callable[[str], AbstractContextManager[object]] = nullcontext,
) -> Writing:
    """Let `pens` write for `seconds` over `streams`, against a new server.

    `beside(address)` is a context that is open meanwhile.

    Raises:
        RuntimeError: a digit was not answered, or too many answers are wrong.
    """
    written = scripts(
        inks, streams=streams, pens_per_stream=pens // streams, seconds=seconds, seed=pens
    )
    late: list[float] = []

    with processes.server(*flags) as server:
        warming = scripts(inks, streams=1, pens_per_stream=1, seconds=1, seed=0)
        uvloop.run(_run(server.address, warming, []))
        # The scripts are a million objects: a full collection would count as the server's delay.
        gc.collect()
        gc.freeze()
        gc.disable()
        before, began = server.cpu_seconds(), time.perf_counter()
        with beside(server.address):
            received = uvloop.run(_run(server.address, written, late))
        took, used = time.perf_counter() - began, server.cpu_seconds() - before
        resident = server.resident_mb()
        gc.enable()
        gc.unfreeze()
    latencies = np.array(
        [
            got[pen, stroke, GLYPH_STATE_PROVISIONAL] - lifted
            for one, got in zip(written, received, strict=True)
            for (pen, stroke), lifted in one.pen_ups.items()
            if lifted > WARM_SECONDS
        ]
    )
    digits = sum(len(one.labels) for one in written)
    right = sum(got["right"] for got in received) / digits
    if right < RIGHT_AT_LEAST:
        raise RuntimeError(f"only {right:.1%} of {digits} digits were recognised as labelled")
    p50, p99 = np.percentile(latencies, [50, 99]) * 1000
    return Writing(
        pens,
        streams,
        len(latencies),
        float(p50),
        float(p99),
        float(latencies.max() * 1000),
        float(np.percentile(late, 99) * 1000),
        used / took,
        sum(len(one.sends) for one in written) / seconds,
        right,
        resident,
    )


async def _run(address: str, written: list[Script], late: list[float]) -> list[dict[Any, float]]:
    async with AsyncExitStack() as open_streams:
        calls = [
            await open_streams.enter_async_context(_stream(address, script)) for script in written
        ]
        start = time.perf_counter() + 0.1
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_play(call, script, start, late))
                for call, script in zip(calls, written, strict=True)
            ]
    return [task.result() for task in tasks]
