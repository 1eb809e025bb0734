"""`inkstream bench`: loads a server, in a closed loop or at a rate of its own."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable
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
    FAILED,
    json_option,
    notice,
    percentiles_ms,
    print_json,
    stdout,
)
from inkstream.cli.writing.pen_simulator import draw_digits

_POOL = 2048
"""Different images that a run sends in turn."""
_LAG_MS = 1.0
"""Lateness of an open loop above which its latencies say more about itself than about the server."""
_GRACE_S = 1.0
"""After an open loop, time for what was sent to be answered."""


@dataclass(slots=True)
class _Tally:
    """What a run counts."""

    seconds: list[float] = field(default_factory=list)
    """Latency of each call that was answered."""
    lags: list[float] = field(default_factory=list)
    """In an open loop, seconds by which each call left later than planned."""
    offered: int = 0
    """Images that calls left with."""
    images: int = 0
    """Images answered."""
    errors: Counter[str] = field(default_factory=Counter)
    """Images not answered, by the kind of error."""

    @property
    def unanswered(self) -> int:
        """Images that were given up when the time was over."""
        return self.offered - self.images - self.errors.total()


@click.command()
@server_option
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Images a second, arriving at random (Poisson), whether or not the server keeps up; "
    "latency counts from the planned arrival. Without it: closed loop.",
)
@click.option(
    "--streams", type=click.IntRange(min=1), default=1, show_default=True, help="Connections."
)
@click.option(
    "--in-flight",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Calls that each stream keeps under way in a closed loop.",
)
@click.option(
    "--images-per-message",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Images in each call. Calls that wait are packed together all the same.",
)
@click.option(
    "--duration",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    help="Seconds.",
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
    """Load a server with drawn digits and print throughput, latency and errors.

    Nothing is sent after --duration. With --rate, what has no answer a second later is given up and counted
    as unanswered.

    \b
    Examples:
      inkstream bench --streams 8 --in-flight 16
      inkstream bench --rate 5000 --streams 64 --duration 30
      inkstream bench --images-per-message 64 --json
    """
    images, _ = draw_digits(_POOL)
    calls = _calls(images, images_per_message)

    async def run() -> tuple[_Tally, float]:
        async with AsyncExitStack() as stack:
            # What a stream loses is counted, not sent again.
            told = RetryPolicy(attempts=0)
            clients = [
                await stack.enter_async_context(AsyncClient(**server.options(), retry=told))
                for _ in range(streams)
            ]
            # Connecting is not part of the measurement.
            await asyncio.gather(*(client.recognize(images[0]) for client in clients))
            tally = _Tally()
            began = perf_counter()
            if rate is None:
                await _closed_loop(clients, calls, in_flight, duration, tally)
            else:
                await _open_loop(clients, calls, rate / images_per_message, duration, tally)
            return tally, perf_counter() - began

    tally, seconds = asyncio.run(run())
    figures: dict[str, Any] = {
        "mode": "closed loop" if rate is None else "open loop, Poisson",
        "rate": rate,
        "streams": streams,
        "in_flight": in_flight if rate is None else None,
        "images_per_message": images_per_message,
        "seconds": round(seconds, 3),
        "offered": tally.offered,
        "images": tally.images,
        "unanswered": tally.unanswered,
        "images_per_second": round(tally.images / seconds, 1),
        "latency_ms": percentiles_ms(tally.seconds, 50, 90, 99, 99.9),
        "lag_ms": percentiles_ms(tally.lags, 50, 99),
        "errors": dict(tally.errors),
        "server": server.address,
    }
    if figures["lag_ms"].get("p50", 0) > _LAG_MS:
        notice(
            f"Calls left {figures['lag_ms']['p50']:.1f} ms late (median): this program, not the "
            "server, was the limit; try fewer streams or more images a message."
        )
    if as_json:
        print_json(figures)
    else:
        latency = ", ".join(f"{name} {ms:.2f}" for name, ms in figures["latency_ms"].items())
        failed = ", ".join(f"{count} {kind}" for kind, count in tally.errors.items()) or "none"
        stdout().print(
            f"throughput  {figures['images_per_second']:,.0f} images/s "
            f"({tally.images:,} in {seconds:.1f} s, {figures['mode']})\n"
            f"latency     {latency or 'nothing was answered'} ms\n"
            f"errors      {failed}" + _offered(tally, rate, duration)
        )
    if not tally.images:
        ctx.exit(FAILED)


def _calls(images: npt.NDArray[np.uint8], size: int) -> list[npt.NDArray[np.uint8]]:
    """What the calls send, in turn."""
    if size == 1:
        return list(images)
    endless = np.resize(images, (max(len(images), size), 28, 28))
    return [endless[start : start + size] for start in range(0, len(endless) - size + 1, size)]


def _offered(tally: _Tally, rate: float | None, duration: float) -> str:
    """In an open loop, how much of the rate this program managed, and what had no answer in time."""
    if rate is None:
        return ""
    return (
        f"\noffered     {tally.offered / duration:,.0f} of {rate:,.0f} images/s, "
        f"{tally.unanswered:,} of them unanswered {_GRACE_S:g} s after the end"
    )


async def _closed_loop(
    clients: list[AsyncClient],
    calls: list[npt.NDArray[np.uint8]],
    in_flight: int,
    duration: float,
    tally: _Tally,
) -> None:
    """Each caller sends the next when the last is answered."""
    until = perf_counter() + duration
    turn = itertools.cycle(calls)

    async def caller(client: AsyncClient) -> None:
        while (now := perf_counter()) < until:
            await _call(client.recognize, next(turn), now, tally)

    async with asyncio.TaskGroup() as callers:
        for client in clients:
            for _ in range(in_flight):
                callers.create_task(caller(client))


async def _open_loop(
    clients: list[AsyncClient],
    calls: list[npt.NDArray[np.uint8]],
    calls_per_second: float,
    duration: float,
    tally: _Tally,
) -> None:
    """Calls come when they come: latency from the planned arrival shows every stall."""
    began = planned = perf_counter()
    turn, targets = itertools.cycle(calls), itertools.cycle(clients)
    until = began + duration
    under_way: set[asyncio.Task[None]] = set()
    async with asyncio.TaskGroup() as arrivals:
        while (planned := planned + random.expovariate(calls_per_second)) < until:
            await sleep_until(planned)
            if (now := perf_counter()) >= until:
                break
            tally.lags.append(now - planned)
            call = _call(next(targets).recognize, next(turn), planned, tally)
            task = arrivals.create_task(call)
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        if under_way:
            await asyncio.wait(under_way, timeout=_GRACE_S)
        for task in under_way:
            task.cancel()


async def sleep_until(planned: float) -> None:
    """Wait until a time, letting answers in even when it has passed.

    The selector sleeps whole milliseconds, which would be counted as latency: the last one is spun.
    """
    await asyncio.sleep(max(0.0, planned - perf_counter() - 0.002))
    while perf_counter() < planned:  # noqa: ASYNC110 - time is what is awaited
        await asyncio.sleep(0)


async def _call(
    recognize: Callable[[npt.NDArray[np.uint8]], Awaitable[Any]],
    images: npt.NDArray[np.uint8],
    began: float,
    tally: _Tally,
) -> None:
    count = 1 if images.ndim == 2 else len(images)
    tally.offered += count
    try:
        await recognize(images)
    except InkstreamError as error:
        tally.errors[type(error).__name__] += count
        # A refusal comes back within the turn; without a break a closed loop would spin.
        await asyncio.sleep(0.01)
    else:
        tally.seconds.append(perf_counter() - began)
        tally.images += count
