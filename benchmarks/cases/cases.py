"""The cases of `make bench`: what each measures, its floor and its load."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from statistics import median
from urllib.request import urlopen

from benchmarks.cases import alone
from benchmarks.load import callers, h2load, library, live_pens
from benchmarks.load.digits import Digits
from benchmarks.load.figures import CPU, INKSTREAM, MEMORY, P50, P99, RAW, STUBS, Figures
from benchmarks.load.h2load import Load
from benchmarks.load.wire import Stream, open_streams
from benchmarks.load.writing import real_ink
from benchmarks.servers import processes
from benchmarks.servers.processes import Running

LITERT = "LiteRT alone"
UNCOUNTED = "without metrics"
TWO_WORKERS = "two workers"
READY = "ready s"
RIGHT = "right"

CAPACITY_SHARE = 0.6
LEAST_RATE = 1000.0
HELD_MS = 5.0
METRICS_TURNS = 5
WORKERS_TURNS = 3
PEN_SECONDS = 8.0
SINGLE_8 = Load(streams=8, per_message=1, messages=2500)

Asking = Callable[[Running, Digits], Figures]
Measuring = Callable[[Digits], dict[str, Figures]]
"""Measures once; returns figures by what was measured."""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to measure."""

    name: str
    measure: Measuring
    is_long: bool = False
    """Whether one round is enough, because a run takes long."""
    needs_h2load: bool = False


def beside_floors(ask: Asking, per_message: int = 1) -> Measuring:
    """Measure both floors and the server in turn, each in a new process on the same core."""

    def measure(digits: Digits) -> dict[str, Figures]:
        measured = {}
        for who, kind in ((RAW, "raw"), (STUBS, "stubs")):
            with processes.floor(kind, per_message) as floor:
                measured[who] = ask(floor, digits)
        return measured | of_server(ask)(digits)

    return measure


def of_server(ask: Asking) -> Measuring:
    """Measure a new server."""

    def measure(digits: Digits) -> dict[str, Figures]:
        with processes.server() as server:
            return {INKSTREAM: ask(server, digits)}

    return measure


def flooded(load: Load) -> Measuring:
    """Measure the highest throughput."""
    return beside_floors(
        lambda target, digits: h2load.flood(target, digits, load), load.per_message
    )


def _flooded_beside_model(load: Load) -> Measuring:
    flood = flooded(load)
    return lambda digits: flood(digits) | {LITERT: alone.model(digits, load.per_message)}


def _poisson(digits: Digits) -> dict[str, Figures]:
    """Find the capacity for single messages at random moments, then offer a share of it.

    A flood overstates that capacity, because its answers share messages. Here the rate rises by a quarter
    until the queue grows; capacity is the last rate whose median latency stays within HELD_MS.
    """

    def ask(target: Running, rate: float, seconds: float) -> Figures:
        return callers.poisson(target, digits, rate=rate, seconds=seconds, streams=SINGLE_8.streams)

    with processes.server() as server:
        capacity = rate = LEAST_RATE
        # Try twice: a disturbance must not look like the end of capacity.
        while any(ask(server, rate, 1.0)[P50] <= HELD_MS for _ in range(2)):
            capacity, rate = rate, rate * 1.25
        measured = {INKSTREAM: ask(server, CAPACITY_SHARE * capacity, 3.0)}
    with processes.floor("raw", 1) as floor:
        return {RAW: ask(floor, CAPACITY_SHARE * capacity, 3.0)} | measured


def _start(digits: Digits) -> dict[str, Figures]:
    with processes.server() as server:
        return {INKSTREAM: {READY: server.ready_seconds, MEMORY: server.resident_mb()}}


def _metrics_on_and_off(digits: Digits) -> dict[str, Figures]:
    """Flood a server with metrics and one without in turn, so that disturbances hit both alike."""
    with (
        processes.server() as counting,
        processes.server(module="benchmarks.servers.uncounted") as uncounted,
    ):
        servers = {INKSTREAM: counting, UNCOUNTED: replace(uncounted, metrics="")}
        runs: dict[str, list[Figures]] = {who: [] for who in servers}
        for _ in range(METRICS_TURNS):
            for who, server in servers.items():
                runs[who].append(h2load.flood(server, digits, SINGLE_8))
    return {who: {CPU: median(run[CPU] for run in of_one)} for who, of_one in runs.items()}


def _one_and_two_workers(digits: Digits) -> dict[str, Figures]:
    """Load a server of one process, and one worker of a server of two, in turn.

    The load needs the other core, so two workers cannot have a core each. Both servers share a core and
    one worker idles. The figure is the processor time an image of all processes, including the idle worker
    and the supervisor. If it is the same, two cores carry twice as many images.
    """
    with processes.server() as one, processes.server("--workers", "2") as two:
        runs: dict[str, list[Figures]] = {INKSTREAM: [], TWO_WORKERS: []}
        for _ in range(WORKERS_TURNS):
            runs[INKSTREAM].append(callers.ask_all(one, digits, 8, 2500, 1))
            with _streams_of_one_worker(two, 8) as streams:
                runs[TWO_WORKERS].append(callers.ask_over(streams, two, digits, 2500, 1))
    return {who: {CPU: median(run[CPU] for run in of_one)} for who, of_one in runs.items()}


@contextmanager
def _streams_of_one_worker(server: Running, count: int) -> Iterator[list[Stream]]:
    """Open streams until one worker, chosen by the kernel, has `count` of them; yield those."""
    by_worker: dict[str, list[Stream]] = {}
    open_before: dict[str, float] = {}
    with ExitStack() as opened:
        while max(map(len, by_worker.values()), default=0) < count:
            (stream,) = opened.enter_context(open_streams(server.address, 1))
            with urlopen(server.metrics) as page:
                text = page.read().decode()
            found = re.findall(r'inkstream_worker_streams{worker="(\d+)"} ([\d.]+)', text)
            for worker, streams in found:
                if float(streams) > open_before.get(worker, 0.0):
                    by_worker.setdefault(worker, []).append(stream)
                open_before[worker] = float(streams)
        yield max(by_worker.values(), key=len)


def _pens(count: int, per_stream: int) -> Measuring:
    def measure(digits: Digits) -> dict[str, Figures]:
        streams = count // per_stream
        run = live_pens.play(real_ink(), pens=count, streams=streams, seconds=PEN_SECONDS)
        figures = {P50: run.p50_ms, P99: run.p99_ms, MEMORY: run.resident_mb, RIGHT: run.right}
        return {INKSTREAM: figures}

    return measure


ONE_STREAM = "1 image a message, 1 stream"
EIGHT_STREAMS = "1 image a message, 8 streams"
MANY_STREAMS = "1 image a message, 64 streams"
PACKED = "64 images a message, 4 streams"
STREAM = "Client.stream, one image at a time"
ASYNC_STREAM = "AsyncClient.stream, one image at a time"
THREADS = "Client.recognize, 32 threads"
TASKS = "AsyncClient.recognize, 32 tasks"
ALONE = "AsyncClient.recognize, one caller"
ROUND_TRIP = "closed loop, one caller without the library"
POISSON = f"Poisson arrivals at {CAPACITY_SHARE:.0%} of capacity, 8 streams"
OWN_STREAMS = "400 live pens, a stream each"
GATEWAY = "2,000 live pens, 100 a stream"
DRAWING = "normalise and rasterise a glyph"
START = "start to ready"
METRICS = "metrics on and off, 8 streams"
WORKERS = "one worker of two and one process, 8 streams"

CASES = (
    Case(ONE_STREAM, flooded(Load(1, 1, 20_000)), needs_h2load=True),
    Case(EIGHT_STREAMS, flooded(SINGLE_8), needs_h2load=True),
    Case(MANY_STREAMS, flooded(Load(64, 1, 400)), needs_h2load=True),
    Case(PACKED, _flooded_beside_model(Load(4, 64, 800)), needs_h2load=True),
    Case(STREAM, of_server(lambda server, digits: library.stream(server, digits, 120_000))),
    Case(
        ASYNC_STREAM,
        of_server(lambda server, digits: library.async_stream(server, digits, 120_000)),
    ),
    Case(THREADS, of_server(lambda server, digits: library.recognize(server, digits, 15_000, 32))),
    Case(
        TASKS, of_server(lambda server, digits: library.async_recognize(server, digits, 20_000, 32))
    ),
    Case(ALONE, of_server(lambda server, digits: library.async_recognize(server, digits, 3000, 1))),
    Case(ROUND_TRIP, beside_floors(lambda who, digits: callers.round_trips(who, digits, 4000))),
    Case(POISSON, _poisson),
    Case(DRAWING, lambda _: {INKSTREAM: alone.drawing()}),
    Case(START, _start),
    Case(METRICS, _metrics_on_and_off, needs_h2load=True),
    Case(WORKERS, _one_and_two_workers),
    Case(OWN_STREAMS, _pens(400, 1), is_long=True),
    Case(GATEWAY, _pens(2000, 100), is_long=True),
)
