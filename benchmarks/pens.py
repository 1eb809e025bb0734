"""How many pens can write at once, in real time, until provisional answers come late.

The server has one core, all pens another. Latency counts from the moment at which the pen lifts, whether
or not the load generator or a gateway was on time, until the answer has been read.
"""

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import grpc
import numpy as np
import uvloop
from inkstream.ink import Ink
from inkstream.v1.ink_pb2 import GLYPH_STATE_FINAL, GLYPH_STATE_PROVISIONAL
from inkstream.v1.recognition_service_pb2 import StreamRecognizeResponse
from rich.console import Console
from rich.table import Table

from benchmarks import processes
from benchmarks.bodies import CONFIG, PATH
from benchmarks.writing import Script, real_ink, scripts

LATE_SECONDS = 0.050
"""What the 99th percentile must keep: an answer that a writer takes for immediate."""
WARM_SECONDS = 2.0
"""Left out of the figures: all pens open at once, which devices do not."""
DRAIN_SECONDS = 60.0
"""For what a server that does not keep up still owes at the end."""
RIGHT_AT_LEAST = 0.9
STEP = 1.25
"""Between the numbers of pens that are tried once one has failed."""
MOST_PENS = 20_000


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
    """How late the load generator itself was, which is part of the latencies."""
    cpu: float
    """Share of its core that the server used."""
    packets_per_second: float
    right: float
    """Share of final answers that were as labelled."""
    resident_mb: float

    @property
    def is_on_time(self) -> bool:
        """Whether the 99th percentile is kept."""
        return self.p99_ms <= LATE_SECONDS * 1000


@asynccontextmanager
async def _stream(address: str, script: Script) -> AsyncIterator[Any]:
    """Open a stream with all its pens, on a connection of its own as devices have."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        call: Any = channel.stream_stream(PATH)(wait_for_ready=True)
        await call.write(CONFIG)
        await call.read()
        await call.write(script.opening)
        yield call


async def _play(call: Any, script: Script, start: float, late: list[float]) -> dict[Any, float]:
    """Play one stream; gives when each (pen, last stroke, state) was first answered, in seconds."""
    heard: dict[Any, float] = {}
    finals: dict[Any, int] = {}

    async def read() -> None:
        while (data := await call.read()) is not grpc.aio.EOF:
            now = time.perf_counter() - start
            message = StreamRecognizeResponse.FromString(data)
            if message.errors:
                raise RuntimeError(f"the server refused ink: {message.errors[0]}")
            for glyph in message.glyphs:
                key = glyph.pen, max(glyph.strokes), glyph.state
                heard.setdefault(key, now)
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
    # A packet that this program sent late may split a digit in two: wrong, but answered.
    if missing := script.labels.keys() - finals.keys():
        raise RuntimeError(f"{len(missing)} of {len(script.labels)} digits were not answered")
    heard["right"] = sum(finals[key] == label for key, label in script.labels.items())
    return heard


def play(
    inks: list[Ink],
    *,
    pens: int,
    streams: int,
    seconds: float,
    flags: tuple[str, ...] = (),
    beside: Callable[[str], AbstractContextManager[object]] = nullcontext,
) -> Writing:
    """Have so many pens write for so long over so many streams, against a new server.

    `beside` is given the server's address, and what it does goes on meanwhile.

    Raises:
        RuntimeError: a digit was not answered, or too many wrongly: a fast wrong answer is a failure.
    """
    written = scripts(
        inks, streams=streams, pens_per_stream=pens // streams, seconds=seconds, seed=pens
    )
    late: list[float] = []

    with processes.server(*flags) as server:
        warming = scripts(inks, streams=1, pens_per_stream=1, seconds=1, seed=0)
        uvloop.run(_run(server.address, warming, []))
        # The scripts are a million objects: a full collection would be taken for the server's delay.
        gc.collect()
        gc.freeze()
        gc.disable()
        before, began = server.cpu_seconds(), time.perf_counter()
        with beside(server.address):
            heard = uvloop.run(_run(server.address, written, late))
        took, used = time.perf_counter() - began, server.cpu_seconds() - before
        resident = server.resident_mb()
        gc.enable()
        gc.unfreeze()
    latencies = np.array(
        [
            got[pen, stroke, GLYPH_STATE_PROVISIONAL] - lifted
            for one, got in zip(written, heard, strict=True)
            for (pen, stroke), lifted in one.pen_ups.items()
            if lifted > WARM_SECONDS
        ]
    )
    digits = sum(len(one.labels) for one in written)
    right = sum(got["right"] for got in heard) / digits
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


def search(
    inks: list[Ink], *, pens: int, per_stream: int, seconds: float, console: Console
) -> list[Writing]:
    """Find the largest number of pens that is served in time, from `pens` upwards.

    Doubles until late, then goes back by STEP until in time. Gives all runs.
    """
    runs = []

    def run(count: int) -> Writing:
        streams = max(1, count // per_stream)
        with console.status(f"{streams * per_stream:,} pens on {streams:,} streams"):
            writing = play(inks, pens=streams * per_stream, streams=streams, seconds=seconds)
        runs.append(writing)
        return writing

    while pens <= MOST_PENS and run(pens).is_on_time:
        pens *= 2
    while not runs[-1].is_on_time and pens > per_stream:
        pens = int(pens / STEP)
        run(pens)
    return runs


def _print(runs: list[Writing], console: Console) -> None:
    table = Table(
        *("pens", "streams", "packets/s", "p50 ms", "p99 ms", "worst ms", "late p99 ms"),
        *("core used", "right", "MB", "in time"),
        caption="late: of the load generator itself, part of the latencies",
    )
    for run in sorted(runs, key=lambda run: (run.streams == run.pens, run.pens)):
        table.add_row(
            f"{run.pens:,}",
            f"{run.streams:,}",
            f"{run.packets_per_second:,.0f}",
            f"{run.p50_ms:.1f}",
            f"{run.p99_ms:.1f}",
            f"{run.worst_ms:.0f}",
            f"{run.sent_late_p99_ms:.1f}",
            f"{run.cpu:.0%}",
            f"{run.right:.1%}",
            f"{run.resident_mb:.0f}",
            "yes" if run.is_on_time else "no",
        )
    console.print(table)


def write_into(page: Path, runs: list[Writing], per_stream: int) -> None:
    """Put the runs of a search where a page has a place for them, the most pens that are in time in bold.

    Args:
        page: holds the comments `<!-- pens N -->` and `<!-- end -->`, N being `per_stream`.
        runs: all of one search.
        per_stream: pens that share a stream.

    Raises:
        click.UsageError: the page has no such place.
    """
    begin, end = f"<!-- pens {per_stream} -->\n", "<!-- end -->"
    before, found, rest = page.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise click.UsageError(f"--page: expected {begin.strip()} and {end} in {page}")
    most = max((run.pens for run in runs if run.is_on_time), default=0)
    rows = ["| pens | streams | messages/s | p50 | p99 | core used | memory |"]
    rows += ["|---|---|---|---|---|---|---|"]
    for run in sorted(runs, key=lambda run: run.pens):
        pens = f"**{run.pens:,}**" if run.pens == most else f"{run.pens:,}"
        cells = [pens, f"{run.streams:,}", f"{run.packets_per_second:,.0f}"]
        cells += [f"{run.p50_ms:.1f} ms", f"{run.p99_ms:.1f} ms"]
        cells += [f"{run.cpu:.0%}", f"{run.resident_mb:.0f} MB"]
        rows.append(f"| {' | '.join(cells)} |")
    page.write_text("\n".join([before + begin.strip(), *rows, end]) + after)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--pens", type=int, help="Measure this number only, instead of searching the most.")
@click.option("--per-stream", default=1, show_default=True, help="Pens that share a stream.")
@click.option("--start", default=200, show_default=True, help="Number of pens to search from.")
@click.option("--seconds", default=12.0, show_default=True, help="How long each run writes.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option(
    "--page", type=click.Path(path_type=Path), help="Renew this page's table of a search."
)
def main(
    pens: int | None,
    per_stream: int,
    start: int,
    seconds: float,
    json_path: Path | None,
    page: Path | None,
) -> None:
    """Measure live pens: real ink at 100 points a second in packets of 50 ms, pauses at random.

    \b
    Examples:
      python -m benchmarks.pens                          # the most pens, a stream each
      python -m benchmarks.pens --per-stream 100 --start 1000 --page docs/performance.md
      python -m benchmarks.pens --pens 200 --seconds 30
    """
    if page is not None and pens is not None:
        raise click.UsageError("--page: takes the table of a search, so leave out --pens")
    console = Console(width=None if sys.stdout.isatty() else 110)
    os.sched_setaffinity(0, {processes.LOAD_CORE})
    inks = real_ink()
    if pens is None:
        runs = search(inks, pens=start, per_stream=per_stream, seconds=seconds, console=console)
    else:
        runs = [play(inks, pens=pens, streams=max(1, pens // per_stream), seconds=seconds)]
    _print(runs, console)
    if json_path is not None:
        fields = Writing.__dataclass_fields__
        rows = [{name: getattr(run, name) for name in fields} for run in runs]
        json_path.write_text(json.dumps(rows, indent=1) + "\n")
    if page is not None:
        write_into(page, runs, per_stream)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.pens")
