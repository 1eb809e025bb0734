"""The life of a server of several processes: start workers, replace the dead, drain all, stop.

The supervisor serves nothing but the page of metrics, and imports neither gRPC nor an engine: it stays
small, and no fault of theirs can end it.
"""

import asyncio
import signal
from collections.abc import Iterable
from time import perf_counter

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    Metric,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from inkstream_server import affinity, logs
from inkstream_server.config import Config
from inkstream_server.presence import MetricsPage, write_ready_file
from inkstream_server.workers import port
from inkstream_server.workers.post import Post
from inkstream_server.workers.tally import Tally, report

REPORT_SECONDS = 1.0
"""How often workers report, whether anybody scrapes or not: what a death can lose of the counters."""

PATIENCE_SECONDS = 2.0
"""How long a scrape waits for reports; a worker that is later counts as it last reported."""

MARGIN_SECONDS = 5.0
"""What workers get beyond the time of draining; then they are killed."""


def supervise(config: Config) -> None:
    """Run `config.workers` processes until SIGTERM or SIGINT, then drain them and return.

    Raises:
        StartError: the address is taken, the model cannot be served, or there are too few cores to pin.
        WorkersFailed: a worker died again and again.
    """
    logs.configure(config.log_format, config.log_level)
    if config.pin:
        affinity.require_cores(config.workers)
    with port.held(config.host, config.port) as shared:
        asyncio.run(_live(config, shared))


async def _live(config: Config, shared_port: int) -> None:
    stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    began = perf_counter()
    tally = Tally()
    posts = [Post(number, config, shared_port, tally) for number in range(config.workers)]

    def pass_on(number: int) -> None:
        for post in posts:
            post.signal(number)

    logs.shift_on_signals(asyncio.get_running_loop(), pass_on)
    page = MetricsPage(config, _registry(posts, tally))
    keeping = [asyncio.create_task(post.keep()) for post in posts]
    reporting = [asyncio.create_task(_report_for_ever(post)) for post in posts]
    stopping = asyncio.create_task(stop.wait())
    all_serve = asyncio.create_task(_all_serve(posts))
    try:
        await asyncio.wait({all_serve, stopping, *keeping}, return_when=asyncio.FIRST_COMPLETED)
        if all_serve.done():
            for post in posts:
                post.announce()
            page.is_ready = True
            shown = f"[{config.host}]" if ":" in config.host else config.host
            address = f"{shown}:{shared_port}"
            if config.ready_file is not None:
                write_ready_file(config.ready_file, address, page.url)
            logs.get().info(
                "ready",
                address=address,
                metrics=page.url,
                workers=len(posts),
                **posts[0].serving,
                seconds=round(perf_counter() - began, 3),
            )
            await asyncio.wait({stopping, *keeping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        page.is_ready = False
        began = perf_counter()
        logs.get().info("drain", timeout_s=config.drain_timeout)
        await _drain(posts, keeping, config.drain_timeout + MARGIN_SECONDS)
        all_serve.cancel()
        stopping.cancel()
        for task in reporting:
            task.cancel()
        await asyncio.to_thread(page.close)  # A scrape under way may still need this loop.
        if config.ready_file is not None:
            config.ready_file.unlink(missing_ok=True)
        logs.get().info("stopped", seconds=round(perf_counter() - began, 3))
    await asyncio.gather(*keeping)  # Raises what a post failed by.


async def _all_serve(posts: list[Post]) -> None:
    for post in posts:
        await post.serves.wait()


async def _drain(posts: list[Post], keeping: list[asyncio.Task[None]], seconds: float) -> None:
    for post in posts:
        post.give_up()
    _, late = await asyncio.wait(keeping, timeout=seconds)
    if late:
        logs.get().error("drain_overdue", workers=len(late), after_s=seconds)
        for post in posts:
            post.kill()
        await asyncio.wait(late)


async def _report_for_ever(post: Post) -> None:
    while True:
        await asyncio.sleep(REPORT_SECONDS)
        await post.report()


def _registry(posts: list[Post], tally: Tally) -> CollectorRegistry:
    disable_created_metrics()
    own = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=own)
    registry = CollectorRegistry()
    registry.register(_Page(posts, tally, own, asyncio.get_running_loop()))
    return registry


def about_workers(posts: list[Post], tally: Tally) -> list[Metric]:
    """Give the metrics of workers as such, which no worker could report."""
    streams = GaugeMetricFamily(
        "inkstream_worker_streams", "Streams that are open, by worker.", labels=["worker"]
    )
    for post in posts:
        streams.add_metric([str(post.number)], tally.of(post.number, "inkstream_streams"))
    return [
        GaugeMetricFamily(
            "inkstream_workers",
            "Processes that serve.",
            sum(post.serves.is_set() for post in posts),
        ),
        CounterMetricFamily(
            "inkstream_worker_restarts",
            "Workers started in place of dead ones.",
            sum(post.restarts for post in posts),
        ),
        streams,
    ]


class _Page(Collector):
    """What a scrape sees: the workers' figures and this process's own as one, and the workers as such."""

    def __init__(
        self,
        posts: list[Post],
        tally: Tally,
        own: CollectorRegistry,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._posts = posts
        self._tally = tally
        self._own = own
        self._loop = loop

    def describe(self) -> Iterable[Metric]:
        """Name nothing: what workers report is not known beforehand."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Ask all workers, from the thread of a scrape."""
        return asyncio.run_coroutine_threadsafe(self._collect(), self._loop).result()

    async def _collect(self) -> list[Metric]:
        reports = [asyncio.create_task(post.report()) for post in self._posts]
        _, late = await asyncio.wait(reports, timeout=PATIENCE_SECONDS)
        for task in late:
            task.cancel()
        self._tally.reported("supervisor", report(self._own))
        return [*self._tally.metrics(), *about_workers(self._posts, self._tally)]
