"""Measures goodput: what a server answers in time under more load than its capacity.

Devices send messages of images at random moments (Poisson); every image has a deadline of DEADLINE_MS. A
device that waits for IN_FLIGHT messages skips one, and a device that is rejected waits for its retry-after.
An answer counts if it is read within the deadline, counted from the moment at which its message should have
left.
"""

import os
import random
import select
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, sleep

import click
import numpy as np
from inkstream.v1 import error_pb2
from inkstream.v1.recognition_service_pb2 import StreamRecognizeRequest, StreamRecognizeResponse
from inkstream.v1.tensor_pb2 import Tensors

from benchmarks.load import callers, wire
from benchmarks.load.digits import Digits, mnist
from benchmarks.load.figures import MEMORY, RATE, Figures, middle
from benchmarks.report import machine, pictures
from benchmarks.servers import processes

PER_MESSAGE = 64
"""Images."""
PERIOD_SECONDS = 0.05
"""Between two messages of a device, on average."""
DEADLINE_MS = 100
IN_FLIGHT = 2
WARM_SECONDS = 3.0
"""Left out of the figures, because all devices start at once and the server must learn its rate."""
LOADS = (0.5, 0.8, 1.0, 1.5, 2.0, 3.0)
"""Loads to offer, as multiples of capacity."""
DEVICE_RATE = PER_MESSAGE / PERIOD_SECONDS

IN_TIME, LATE, REFUSED, LEFT_OUT = "in time/s", "late/s", "refused/s", "left out/s"
BEHIND = "sent late p99 ms"


Note = Callable[[str, float, int], None]
"""Counts images: their outcome, when they should have left, how many."""


@dataclass(slots=True)
class _Device:
    """One stream, and the answers that it awaits."""

    stream: wire.Stream
    waiting: dict[int, float] = field(default_factory=dict)
    """When each message should have left, by its number."""
    silent_until: float = 0.0


def capacity(target: processes.Running, digits: Digits) -> Figures:
    """Measure the rate of answers when everything is sent as fast as the server takes it."""
    return callers.ask_all(target, digits, 32, 60, PER_MESSAGE)


def offer(
    target: processes.Running, digits: Digits, *, rate: float, seconds: float, heeds: bool = True
) -> Figures:
    """Offer `rate` images a second for a while; return their outcomes.

    Args:
        target: the server.
        digits: the images to send.
        rate: images a second, over all devices.
        seconds: how long, after WARM_SECONDS.
        heeds: whether devices wait for their retry-after.
    """
    devices_count = max(1, round(rate / DEVICE_RATE))
    chance = np.random.default_rng(1)
    end = WARM_SECONDS + seconds
    counts = chance.poisson(end / PERIOD_SECONDS, devices_count)
    due = [np.sort(chance.uniform(0, end, count)) for count in counts]
    order = sorted((at, device) for device, moments in enumerate(due) for at in moments.tolist())
    messages = _messages(digits, int(counts.max()))
    jitter = random.Random(1)
    tally: dict[str, int] = dict.fromkeys((IN_TIME, LATE, REFUSED, LEFT_OUT), 0)
    behind: list[float] = []
    with wire.open_streams(target.address, devices_count) as streams:
        devices = [_Device(stream) for stream in streams]
        numbers = [0] * devices_count
        poll = select.epoll()
        by_number = {device.stream.fileno(): device for device in devices}
        for number in by_number:
            poll.register(number, select.EPOLLIN)
        start = perf_counter() + 0.05

        def read_answers(timeout: float) -> None:
            for number, _ in poll.poll(timeout):
                device = by_number[number]
                device.stream.take()
                for now, message in device.stream.received:
                    _settle(device, StreamRecognizeResponse.FromString(message), now, note)
                    if heeds and device.silent_until > now:
                        device.silent_until += (device.silent_until - now) * jitter.random()
                device.stream.received.clear()

        def note(what: str, left: float, items: int) -> None:
            if left - start >= WARM_SECONDS:
                tally[what] += items

        for at, index in order:
            read_answers(0)
            while (wait := start + at - perf_counter()) > 0:
                read_answers(wait if wait > 0.001 else 0)
            behind.append(-wait)
            device, number = devices[index], numbers[index]
            numbers[index] += 1
            now = perf_counter()
            is_away = heeds and now < device.silent_until
            if is_away or len(device.waiting) >= IN_FLIGHT:
                note(LEFT_OUT, start + at, PER_MESSAGE)
                continue
            device.waiting[number] = start + at
            device.stream.put(messages[number])
        memory = target.resident_mb()
        give_up = perf_counter() + 5.0
        while any(device.waiting for device in devices) and perf_counter() < give_up:
            read_answers(0.05)
    figures = {what: items / seconds for what, items in tally.items()}
    figures[BEHIND] = float(np.percentile(behind, 99) * 1000)
    return figures | {MEMORY: memory, "devices": devices_count}


def _messages(digits: Digits, count: int) -> list[list[bytes]]:
    """Build the messages of every device: the same images with rising numbers."""
    pixels = Tensors(uint8=digits.pixels(0, PER_MESSAGE))
    built = []
    for number in range(count):
        first = number * PER_MESSAGE
        tensors = Tensors(
            sequences=range(first, first + PER_MESSAGE),
            uint8=pixels.uint8,
            deadlines_ms=[DEADLINE_MS],
        )
        request = StreamRecognizeRequest(tensors=tensors).SerializeToString()
        built.append(wire.frames(request))
    return built


def _settle(device: _Device, response: StreamRecognizeResponse, now: float, note: Note) -> None:
    """Count the answers in one message from the server."""
    for group in response.tensors:
        _settle_items(device, group.sequences, now, note, IN_TIME)
    refused: list[int] = []
    for error in response.errors:
        refused.append(error.sequence)
        if error.code == error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED:
            device.silent_until = max(device.silent_until, now + error.retry_after_ms / 1000)
    if refused:
        _settle_items(device, refused, now, note, REFUSED)


def _settle_items(
    device: _Device, sequences: Sequence[int], now: float, note: Note, what: str
) -> None:
    at = 0  # One answer may hold several messages, or a part of one.
    while at < len(sequences):
        number = sequences[at] // PER_MESSAGE
        stop = at
        while stop < len(sequences) and sequences[stop] // PER_MESSAGE == number:
            stop += 1
        left = device.waiting[number]
        is_late = what == IN_TIME and now - left > DEADLINE_MS / 1000
        note(LATE if is_late else what, left, stop - at)
        if sequences[stop - 1] % PER_MESSAGE == PER_MESSAGE - 1:
            del device.waiting[number]
        at = stop


def hold(target: processes.Running, digits: Digits, *, rate: float, times: int) -> list[float]:
    """Keep up a load; return the server's memory in MB after every ten seconds."""
    memory = []
    for _ in range(times):
        memory.append(offer(target, digits, rate=rate, seconds=7.0)[MEMORY])
    return memory


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rounds", default=3, show_default=True, help="Runs of each load, in turn.")
@click.option("--seconds", default=4.0, show_default=True, help="How long each load is offered.")
@click.option("--deaf", is_flag=True, help="Rejected devices come back at once.")
@click.option("--loads", default=",".join(map(str, LOADS)), show_default=True, help="x capacity.")
@click.option(
    "--hold", "held", default=0, help="Then keep up twice the capacity for this many times 10 s."
)
@click.option("--picture", type=click.Path(path_type=Path), help="Draw the curve here (SVG).")
def main(
    rounds: int, seconds: float, deaf: bool, loads: str, held: int, picture: Path | None
) -> None:
    """Measure goodput beyond capacity, and print a table in Markdown.

    \b
    Examples:
      python -m benchmarks.goodput --picture docs/pictures/goodput.svg
      python -m benchmarks.goodput --loads 2 --hold 6
    """
    os.sched_setaffinity(0, {processes.LOAD_CORE})
    digits, points = mnist(), [float(load) for load in loads.split(",")]
    runs: dict[float, list[Figures]] = {point: [] for point in points}
    most: list[Figures] = []
    with processes.server() as server:
        for _ in range(rounds):
            most.append(capacity(server, digits))
            for point in points:
                rate = point * middle(most, RATE)
                runs[point].append(
                    offer(server, digits, rate=rate, seconds=seconds, heeds=not deaf)
                )
                sleep(0.2)  # Lets the server answer the rest.
        at_most = middle(most, RATE)
        click.echo(_table(at_most, runs, rounds, seconds))
        if held:
            memory = hold(server, digits, rate=2 * at_most, times=held)
            shown = ", ".join(f"{mb:.0f}" for mb in memory)
            click.echo(f"\nMemory at twice the capacity, after every ten seconds: {shown} MB.")
    if picture is not None:
        pictures.draw_lines(
            picture,
            title="Goodput",
            across=("offered, x capacity", points),
            up="share of capacity",
            lines={
                "answered in time": [middle(runs[it], IN_TIME) / at_most for it in points],
                "refused": [middle(runs[it], REFUSED) / at_most for it in points],
            },
            log="",
        )


def _table(at_most: float, runs: dict[float, list[Figures]], rounds: int, seconds: float) -> str:
    about = machine.line()
    lines = [
        f"Capacity {at_most:,.0f} images/s; medians of {rounds} runs of {seconds:g} s. {about}.\n",
        "| offered | devices | in time | late | refused | left out | in time, of capacity | MB | "
        "sent late, p99 ms |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for point, figures in runs.items():
        names = ("devices", IN_TIME, LATE, REFUSED, LEFT_OUT)
        cells = [f"{middle(figures, name):,.0f}" for name in names]
        share = middle(figures, IN_TIME) / at_most
        lines.append(
            f"| {point:g} x | {' | '.join(cells)} | {share:.0%} | {middle(figures, MEMORY):.0f} | "
            f"{middle(figures, BEHIND):.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.goodput")
