"""`inkstream bench`: loads a server, in a closed loop or at a given rate."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from inkstream import AsyncClient, InkstreamError, RetryPolicy
from inkstream.cli.server_option import ServerOptions, server_option
from inkstream.cli.terminal import (
    ABOVE_ZERO,
    FAILED,
    count_option,
    json_option,
    notice,
    percentiles_ms,
    print_json,
    stdout,
)
from inkstream.cli.writing.pen_simulator import draw_digits

_POOL = 256
"""Number of different images, which a run sends in turn."""
_LAG_MS = 1.0
"""If calls leave later than this (median), an open loop measures itself rather than the server."""
_GRACE_S = 1.0
"""Time after an open loop in which answers still count."""


@dataclass(slots=True)
class _Run:
    """A run: what it sends, and what it counts."""

    clients: list[AsyncClient]
    calls: list[npt.NDArray[np.uint8]]
    """The images of each call, sent in turn."""
    duration: float
    """Seconds."""
    latencies: list[float] = field(default_factory=list)
    """Latency of each answered call."""
    lags: list[float] = field(default_factory=list)
    """In an open loop: seconds by which each call left later than planned."""
    offered: int = 0
    """Images sent."""
    images: int = 0
    """Images answered."""
    errors: Counter[str] = field(default_factory=Counter)
    """Images that failed, by kind of error."""

    @property
    def unanswered(self) -> int:
        """Images that were given up at the end of the run."""
        return self.offered - self.images - self.errors.total()

    async def closed_loop(self, in_flight: int) -> None:
        """Have each caller send the next call when the last is answered."""
        until = perf_counter() + self.duration
        turn = itertools.cycle(self.calls)

        async def caller(client: AsyncClient) -> None:
            while (now := perf_counter()) < until:
                await self._call(client, next(turn), now)

        async with asyncio.TaskGroup() as callers:
            for client in self.clients:
                for _ in range(in_flight):
                    callers.create_task(caller(client))

    async def open_loop(self, calls_per_second: float) -> None:
        """Send calls at random times. Latency counts from the planned one, so every stall shows."""
        began = planned = perf_counter()
        turn, targets = itertools.cycle(self.calls), itertools.cycle(self.clients)
        until = began + self.duration
        under_way: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as arrivals:
            while (planned := planned + random.expovariate(calls_per_second)) < until:
                await _sleep_until(planned)
                if (now := perf_counter()) >= until:
                    break
                self.lags.append(now - planned)
                task = arrivals.create_task(self._call(next(targets), next(turn), planned))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            if under_way:
                await asyncio.wait(under_way, timeout=_GRACE_S)
            for task in under_way:
                task.cancel()

    async def _call(self, client: AsyncClient, images: npt.NDArray[np.uint8], began: float) -> None:
        count = 1 if images.ndim == 2 else len(images)
        self.offered += count
        try:
            await client.recognize(images)
        except InkstreamError as error:
            self.errors[type(error).__name__] += count
            # Without this pause a closed loop would spin on a server that rejects at once.
            await asyncio.sleep(0.01)
        else:
            self.latencies.append(perf_counter() - began)
            self.images += count


@click.command()
@server_option
@click.option(
    "--rate",
    type=ABOVE_ZERO,
    help="Send so many images a second, in an open loop. Without it the loop is closed.",
)
@count_option("--streams", 1, "Number of connections.")
@count_option("--in-flight", 1, "Calls that each connection keeps under way in a closed loop.")
@count_option(
    "--images-per-message",
    1,
    "Images in each call. The client packs calls that wait into one message in any case.",
)
@click.option(
    "--duration",
    type=ABOVE_ZERO,
    default=10.0,
    show_default=True,
    help="Length of the run in seconds.",
)
@json_option
@click.pass_context
def bench(
    ctx: click.Context,
    *,
    server: ServerOptions,
    rate: float | None,
    streams: int,
    in_flight: int,
    images_per_message: int,
    duration: float,
    as_json: bool,
) -> None:
    """Load a server, and measure throughput, latency and errors.

    The images are drawn digits. In a closed loop each caller sends the next call when the last one is
    answered. In an open loop (--rate) calls arrive at random (Poisson), whether or not the server keeps up,
    and latency counts from the planned arrival. Nothing is sent after --duration. In an open loop, images
    without an answer one second later count as unanswered.

    \b
    Examples:
      inkstream bench --streams 8 --in-flight 16
      inkstream bench --rate 5000 --streams 64 --duration 30
      inkstream bench --images-per-message 64 --json
    """
    images, _ = draw_digits(_POOL)
    calls = _calls(images, images_per_message)

    async def run() -> tuple[_Run, float]:
        async with AsyncExitStack() as stack:
            # Count what a broken stream loses instead of sending it again.
            no_retry = RetryPolicy(attempts=0)
            clients = [
                await stack.enter_async_context(AsyncClient(**server.options(), retry=no_retry))
                for _ in range(streams)
            ]
            # Connect before the measurement begins.
            await asyncio.gather(*(client.recognize(images[0]) for client in clients))
            load = _Run(clients, calls, duration)
            began = perf_counter()
            if rate is None:
                await load.closed_loop(in_flight)
            else:
                await load.open_loop(rate / images_per_message)
            return load, perf_counter() - began

    load, seconds = asyncio.run(run())
    figures: dict[str, Any] = {
        "mode": "closed loop" if rate is None else "open loop, Poisson",
        "rate": rate,
        "streams": streams,
        "in_flight": in_flight if rate is None else None,
        "images_per_message": images_per_message,
        "seconds": round(seconds, 3),
        "offered": load.offered,
        "images": load.images,
        "unanswered": load.unanswered,
        "images_per_second": round(load.images / seconds, 1),
        "latency_ms": percentiles_ms(load.latencies, 50, 90, 99, 99.9),
        "lag_ms": percentiles_ms(load.lags, 50, 99),
        "errors": dict(load.errors),
        "server": server.address,
    }
    if figures["lag_ms"].get("p50", 0) > _LAG_MS:
        notice(
            f"Calls left {figures['lag_ms']['p50']:.1f} ms late (median), so this program, not the "
            "server, was the limit: try fewer streams or more images a message."
        )
    if as_json:
        print_json(figures)
    else:
        latency = ", ".join(f"{name} {ms:.2f}" for name, ms in figures["latency_ms"].items())
        failed = ", ".join(f"{count} {kind}" for kind, count in load.errors.items()) or "none"
        stdout().print(
            f"throughput  {figures['images_per_second']:,.0f} images/s "
            f"({load.images:,} in {seconds:.1f} s, {figures['mode']})\n"
            f"latency     {f'{latency} ms' if latency else 'nothing was answered'}\n"
            f"errors      {failed}"
        )
        if rate is not None:
            stdout().print(
                f"offered     {load.offered / duration:,.0f} of {rate:,.0f} images/s, "
                f"{load.unanswered:,} of them unanswered {_GRACE_S:g} s after the end"
            )
    if not load.images:
        ctx.exit(FAILED)


def _calls(images: npt.NDArray[np.uint8], size: int) -> list[npt.NDArray[np.uint8]]:
    """Give the images of each call, in turn."""
    if size == 1:
        return list(images)
    endless = np.resize(images, (max(len(images), size), 28, 28))
    return [endless[start : start + size] for start in range(0, len(endless) - size + 1, size)]


async def _sleep_until(planned: float) -> None:
    """Wait until a time of `perf_counter`, and let the event loop run once even if it has passed.

    The selector sleeps whole milliseconds, which would count as latency, so the last two are spun.
    """
    await asyncio.sleep(max(0.0, planned - perf_counter() - 0.002))
    while perf_counter() < planned:  # noqa: ASYNC110 - time is what is awaited
        await asyncio.sleep(0)
