"""Measures a rolling restart from one client: two servers restart in turn under steady load.

    python -m benchmarks.rolling --rounds 3

Single images leave at random times, whether or not earlier ones are answered, and pens write beside them.
The latency of an image counts from its planned time, that of ink from pen-up to the provisional answer.
"""

import asyncio
import json
import os
import random
import signal
import socket
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import numpy as np
import uvloop
from inkstream import AsyncClient, ConnectionEvent, ConnectionState, GlyphResult, InkstreamError

from benchmarks.load.digits import Digits, mnist
from benchmarks.load.figures import percentiles_ms
from benchmarks.servers import processes

SEVEN = [(10, 10), (20, 10), (30, 11), (24, 25), (18, 40)]
SETTLE_SECONDS = 1.0
"""Between two restarts, because an orchestrator waits for readiness."""


@dataclass(slots=True)
class Seen:
    """The results at the client."""

    images: list[float] = field(default_factory=list)
    """Seconds until each answer."""
    ink: list[float] = field(default_factory=list)
    """Seconds from pen-up to the provisional answer."""
    errors: list[str] = field(default_factory=list)
    wrong: int = 0
    """Images whose digit differs from before the restarts."""
    drains: int = 0
    losses: int = 0
    finals: int = 0
    digits_written: int = 0


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rounds", default=3, show_default=True, help="Restarts of each server.")
@click.option("--rate", default=500.0, show_default=True, help="Images a second.")
@click.option("--pens", default=8, show_default=True, help="Pens that write beside them.")
@click.option("--kill", is_flag=True, help="Kill the servers (-9) rather than end them.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
def main(rounds: int, rate: float, pens: int, kill: bool, json_path: Path | None) -> None:
    """Restart two servers in turn behind one client; print latencies and lost answers."""
    os.sched_setaffinity(0, {processes.LOAD_CORE})
    number = signal.SIGKILL if kill else signal.SIGTERM
    figures = uvloop.run(_measure(mnist(), rounds, rate, pens, number))
    if json_path is not None:
        json_path.write_text(json.dumps(figures, indent=1) + "\n")
    click.echo(json.dumps(figures, indent=1))
    if figures["errors"] or figures["wrong"] or figures["finals"] != figures["digits_written"]:
        raise click.ClickException("answers were lost, wrong or doubled")


async def _measure(
    digits: Digits, rounds: int, rate: float, pens: int, number: signal.Signals
) -> dict[str, Any]:
    seen = Seen()
    ports = [_free_port(), _free_port()]
    with ExitStack() as first:
        running = [first.enter_context(processes.server("--port", port)) for port in ports]
        address = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)

        def note(event: ConnectionEvent) -> None:
            seen.drains += event.state is ConnectionState.DRAINING
            seen.losses += event.state is ConnectionState.LOST

        over = asyncio.Event()
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(AsyncClient(address, on_state=note))
            known = [result.digit async for result in client.stream(digits.images[:256])]
            async with asyncio.TaskGroup() as load:
                load.create_task(_send(client, digits, known, rate, seen, over))
                for _ in range(pens):
                    load.create_task(_write(client, seen, over))
                try:
                    await asyncio.sleep(SETTLE_SECONDS)
                    for _ in range(rounds):
                        for place, port in enumerate(ports):
                            running[place] = await asyncio.to_thread(
                                _restart, stack, running[place], port, number
                            )
                            await asyncio.sleep(SETTLE_SECONDS)
                finally:
                    over.set()
    return {
        "restarts": 2 * rounds,
        "signal": number.name,
        "images": len(seen.images),
        "images_per_second": rate,
        "image_ms": percentiles_ms(np.array(seen.images)) | {"max": _max_ms(seen.images)},
        "pens": pens,
        "digits_written": seen.digits_written,
        "finals": seen.finals,
        "pen_up_to_provisional_ms": percentiles_ms(np.array(seen.ink)) | {"max": _max_ms(seen.ink)},
        "errors": seen.errors,
        "wrong": seen.wrong,
        "streams_drained": seen.drains,
        "streams_lost": seen.losses,
    }


def _restart(
    stack: AsyncExitStack, old: processes.Running, port: str, number: signal.Signals
) -> processes.Running:
    os.kill(old.pid, number)
    # WNOWAIT leaves the exit code to the block that started the process.
    os.waitid(os.P_PID, old.pid, os.WEXITED | os.WNOWAIT)
    return stack.enter_context(processes.server("--port", port))


async def _send(
    client: AsyncClient,
    digits: Digits,
    known: list[int],
    rate: float,
    seen: Seen,
    over: asyncio.Event,
) -> None:
    async def one(number: int, planned: float) -> None:
        try:
            result = await client.recognize(digits.images[number])
        except InkstreamError as error:
            seen.errors.append(repr(error))
            return
        seen.images.append(perf_counter() - planned)
        seen.wrong += result.digit != known[number]

    planned, number = perf_counter(), 0
    async with asyncio.TaskGroup() as calls:
        while not over.is_set():
            planned += random.expovariate(rate)
            await asyncio.sleep(max(0.0, planned - perf_counter()))
            calls.create_task(one(number % len(known), planned))
            number += 1


async def _write(client: AsyncClient, seen: Seen, over: asyncio.Event) -> None:
    lifted: dict[int, float] = {}

    def note(answer: GlyphResult | InkstreamError) -> None:
        if isinstance(answer, InkstreamError):
            seen.errors.append(repr(answer))
        elif answer.is_final:
            seen.finals += 1
        elif answer.strokes and (since := lifted.pop(answer.strokes[-1], None)) is not None:
            seen.ink.append(perf_counter() - since)

    async with client.pen(units="px", on_result=note) as pen:
        while not over.is_set():
            stroke = pen.down(*SEVEN[0])
            for point in SEVEN[1:]:
                await asyncio.sleep(0.02)
                pen.move(*point)
            lifted[stroke] = perf_counter()
            pen.up()
            await asyncio.sleep(random.uniform(0.05, 0.3))
            pen.end_glyph()
            seen.digits_written += 1
    async for _ in pen:
        raise AssertionError("on_result takes them all")


def _max_ms(seconds: list[float]) -> float:
    return round(max(seconds, default=0.0) * 1000, 3)


def _free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


if __name__ == "__main__":
    main()
