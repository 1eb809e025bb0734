"""Measures whether a stream at full speed, or one that costs the server most, delays slow streams."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from statistics import median

import click
from inkstream.v1.recognition_service_pb2 import StreamRecognizeResponse

from benchmarks.load import attacks, callers
from benchmarks.load.bodies import request
from benchmarks.load.digits import mnist
from benchmarks.load.figures import LATE, P50, P99, Figures, middle
from benchmarks.load.live_pens import Writing, play
from benchmarks.load.wire import Listener, frames, open_streams
from benchmarks.load.writing import real_ink
from benchmarks.report import machine
from benchmarks.servers import processes

PER_MESSAGE = 64
"""Images in a message of the fast stream."""
WINDOW = 4096
"""Its unanswered images: the default of `--window`."""
LONE_RATE = 100
"""Images a second of the neighbour of attacks."""
USED = "core used"
ALONE, BESIDE = "alone", "beside one at full speed"


def flood(address: str) -> None:
    """Send as fast as the window allows, until killed."""
    os.nice(10)  # It shares a core with the pens and must not delay their sending.
    digits = mnist()
    with open_streams(address, 1) as (stream,):
        listener, sent, answered = Listener([stream]), 0, 0
        while True:
            while sent - answered < WINDOW // PER_MESSAGE:
                first = sent * PER_MESSAGE
                stream.put(frames(request(digits, first % 6400, PER_MESSAGE, sequence=first)))
                sent += 1
            listener.listen(1.0)
            if not answered and stream.received:
                click.echo("flowing")
            answered += sum(_messages_in(message) for _, message in stream.received)
            stream.received.clear()


def _messages_in(answer: bytes) -> int:
    """Count the messages whose last image this answer contains, rejected or not."""
    response = StreamRecognizeResponse.FromString(answer)
    sequences = [number for group in response.tensors for number in group.sequences]
    sequences += [error.sequence for error in response.errors]
    return sum(number % PER_MESSAGE == PER_MESSAGE - 1 for number in sequences)


@contextmanager
def _flooding(address: str) -> Iterator[None]:
    command = [sys.executable, "-m", "benchmarks.fairness", "--flood", address]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        process.stdout.readline()
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def _attacked(address: str, names: Sequence[str], rates: list[float]) -> Iterator[None]:
    """Run attacks in processes of their own; add the MB/s of all to `rates`."""
    attackers: list[subprocess.Popen[str]] = []
    try:
        for name in names:
            command = [sys.executable, "-m", "benchmarks.fairness", "--attack", name, address]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            attackers.append(process)
            assert process.stdout is not None
            if process.stdout.readline().strip() != attacks.FLOWING:
                raise RuntimeError(f"the attack {name!r} did not begin")
        time.sleep(1.0)  # Until the server is as busy as it gets.
        yield
        for name, process in zip(names, attackers, strict=True):
            if process.poll() is not None:
                raise RuntimeError(f"the attack {name!r} ended early")
            process.terminate()
        rates.append(sum(float(process.communicate()[0]) for process in attackers))
    finally:
        for process in attackers:
            process.kill()
            process.wait()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--pens", "count", default=1000, show_default=True, help="Pens that write.")
@click.option("--per-stream", default=10, show_default=True, help="Pens that share a stream.")
@click.option("--seconds", default=8.0, show_default=True, help="How long each run writes.")
@click.option(
    "--rounds", default=3, show_default=True, help="Runs, alone and beside the stream in turn."
)
@click.option("--images", type=int, help="Send this many single images a second instead of pens.")
@click.option("--streams", default=100, show_default=True, help="Streams of these images.")
@click.option("--attacks", "attacked", is_flag=True, help="Measure lone images beside attacks.")
@click.option("--attack", type=(str, str), hidden=True, help="Send an attack to an address.")
@click.option("--flood", "flooded", hidden=True, help="Send the fast stream to this address.")
def main(
    count: int,
    per_stream: int,
    seconds: float,
    rounds: int,
    images: int | None,
    streams: int,
    attacked: bool,
    attack: tuple[str, str] | None,
    flooded: str | None,
) -> None:
    """Measure slow callers alone and beside one stream at full speed; prints a table in Markdown.

    \b
    Examples:
      python -m benchmarks.fairness
      python -m benchmarks.fairness --pens 200 --per-stream 1 --rounds 1
      python -m benchmarks.fairness --images 2000 --streams 100
      python -m benchmarks.fairness --attacks
    """
    if attack is not None:
        name, address = attack
        attacks.play(address, name)
        return
    if flooded is not None:
        flood(flooded)
    os.sched_setaffinity(0, {processes.LOAD_CORE})
    about = machine.line()
    if attacked:
        click.echo(f"{LONE_RATE} images/s on one stream; medians of {rounds} runs. {about}.\n")
        _measure_attacks(seconds, rounds)
        return
    if images is not None:
        click.echo(f"{images} images/s on {streams} streams; medians of {rounds} runs. {about}.\n")
        _measure_images(images, streams, seconds, rounds)
        return
    inks, streams = real_ink(), max(1, count // per_stream)
    alone: list[Writing] = []
    beside: list[Writing] = []
    for _ in range(rounds):
        alone.append(play(inks, pens=count, streams=streams, seconds=seconds))
        beside.append(play(inks, pens=count, streams=streams, seconds=seconds, beside=_flooding))
    click.echo(f"{count} pens on {streams} streams; medians of {rounds} runs. {about}.\n")
    click.echo("| pens | p50 ms | p99 ms | worst ms | late p99 ms | core used | MB |")
    click.echo("|---|---|---|---|---|---|---|")
    for name, runs in ((ALONE, alone), (BESIDE, beside)):
        click.echo(_row(name, runs))


def _measure_images(rate: int, streams: int, seconds: float, rounds: int) -> None:
    digits = mnist()
    figures: dict[str, list[Figures]] = {ALONE: [], BESIDE: []}
    for _ in range(rounds):
        for name, beside in ((ALONE, nullcontext), (BESIDE, _flooding)):
            with processes.server() as server, beside(server.address):
                figures[name].append(
                    callers.poisson(server, digits, rate=rate, seconds=seconds, streams=streams)
                )
    click.echo("| images | p50 ms | p99 ms | late p99 ms |")
    click.echo("|---|---|---|---|")
    for name, runs in figures.items():
        cells = " | ".join(f"{middle(runs, each):.1f}" for each in (P50, P99, LATE))
        click.echo(f"| {name} | {cells} |")


def _measure_attacks(seconds: float, rounds: int) -> None:
    digits = mnist()
    cases: dict[str, tuple[str, ...]] = {ALONE: (), **attacks.MIXTURES}
    figures: dict[str, list[Figures]] = {name: [] for name in cases}
    rates: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, names in cases.items():
            with processes.server() as server, _attacked(server.address, names, rates[name]):
                before = server.cpu_seconds()
                runs = callers.poisson(server, digits, rate=LONE_RATE, seconds=seconds, streams=1)
                runs[USED] = (server.cpu_seconds() - before) / seconds
                figures[name].append(runs)
    click.echo("| images beside | p50 ms | p99 ms | late p99 ms | core used | MB/s taken |")
    click.echo("|---|---|---|---|---|---|")
    for name, measured in figures.items():
        cells = " | ".join(f"{middle(measured, each):.2f}" for each in (P50, P99, LATE))
        used, rate = middle(measured, USED), median(rates[name])
        click.echo(f"| {name} | {cells} | {used:.0%} | {rate:.1f} |")


def _row(name: str, runs: Sequence[Writing]) -> str:
    columns = ("p50_ms", "p99_ms", "worst_ms", "sent_late_p99_ms")
    cells = [f"{median(getattr(run, column) for run in runs):.1f}" for column in columns]
    used, resident = median(run.cpu for run in runs), median(run.resident_mb for run in runs)
    return f"| {name} | {' | '.join(cells)} | {used:.0%} | {resident:.0f} |"


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.fairness")
