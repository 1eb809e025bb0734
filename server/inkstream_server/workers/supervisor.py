"""The life of a server of several processes: start workers, restart dead ones, drain all, stop.

The supervisor serves only the HTTP pages. It imports neither gRPC nor an engine, so that it stays small and
their faults cannot end it.
"""

import asyncio
from collections.abc import Iterable
from time import perf_counter

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from inkstream_server import logs
from inkstream_server.config import Config
from inkstream_server.process import affinity, descriptors, signals
from inkstream_server.process.metrics_page import MetricsPage, process_registry
from inkstream_server.process.ready_file import write_ready_file
from inkstream_server.workers import shared_port
from inkstream_server.workers.metric_sums import MetricSums, report
from inkstream_server.workers.slot import WorkerSlot

REPORT_SECONDS = 1.0
"""How often workers report without a scrape: a dead worker loses at most the counts of this time."""

PATIENCE_SECONDS = 2.0
"""How long a scrape waits for reports; of a later worker it shows the last one."""

MARGIN_SECONDS = 5.0
"""How much longer than the drain timeout workers may take; then they are killed."""


def supervise(config: Config) -> None:
    """Run `config.workers` processes until SIGTERM, SIGINT or SIGHUP, then drain them and return.

    Raises:
        StartError: the address is taken, the model cannot be served, or `pin` needs more cores.
        WorkersFailed: a worker died too often in a row.
    """
    logs.configure(config.log_format, config.log_level)
    descriptors.log_shortage(config)
    if config.pin:
        affinity.cores(config.workers)
    with shared_port.held(config.host, config.port) as port:
        asyncio.run(_live(config, port))


async def _live(config: Config, port: int) -> None:
    stop = asyncio.Event()
    signals.stop_on_signals(stop.set)
    began = perf_counter()
    sums = MetricSums()
    slots = [WorkerSlot(number, config, port, sums) for number in range(config.workers)]

    def pass_on(number: int) -> None:
        for slot in slots:
            slot.signal(number)

    logs.shift_on_signals(asyncio.get_running_loop(), pass_on)
    logs.watch_loop(asyncio.get_running_loop())
    signals.deliver()
    page = MetricsPage(config, _registry(slots, sums))
    keeping = [asyncio.create_task(slot.keep()) for slot in slots]
    reporting = [asyncio.create_task(_report_for_ever(slot)) for slot in slots]
    stopping = asyncio.create_task(stop.wait())
    all_serve = asyncio.create_task(_all_serve(slots))
    try:
        await asyncio.wait({all_serve, stopping, *keeping}, return_when=asyncio.FIRST_COMPLETED)
        if all_serve.done():
            for slot in slots:
                slot.announce()
            page.is_ready = True
            shown = f"[{config.host}]" if ":" in config.host else config.host
            address = f"{shown}:{port}"
            if config.ready_file is not None:
                write_ready_file(config.ready_file, address, page.url)
            logs.get().info(
                "ready",
                address=address,
                metrics=page.url,
                workers=len(slots),
                **slots[0].serving,
                seconds=round(perf_counter() - began, 3),
            )
            await asyncio.wait({stopping, *keeping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        page.is_ready = False
        began = perf_counter()
        logs.get().info("drain", timeout_s=config.drain_timeout)
        await _drain(slots, keeping, config.drain_timeout + MARGIN_SECONDS)
        all_serve.cancel()
        stopping.cancel()
        for task in reporting:
            task.cancel()
        await asyncio.to_thread(page.close)  # A scrape in progress may still need this loop.
        if config.ready_file is not None:
            config.ready_file.unlink(missing_ok=True)
        logs.get().info("stopped", seconds=round(perf_counter() - began, 3))
    await asyncio.gather(*keeping)  # Raises the failure of a slot.


async def _all_serve(slots: list[WorkerSlot]) -> None:
    for slot in slots:
        await slot.serves.wait()


async def _drain(
    slots: list[WorkerSlot], keeping: list[asyncio.Task[None]], seconds: float
) -> None:
    for slot in slots:
        slot.give_up()
    _, late = await asyncio.wait(keeping, timeout=seconds)
    if late:
        logs.get().error("drain_overdue", workers=len(late), after_s=seconds)
        for slot in slots:
            slot.kill()
        await asyncio.wait(late)


async def _report_for_ever(slot: WorkerSlot) -> None:
    while True:
        await asyncio.sleep(REPORT_SECONDS)
        await slot.report()


def _registry(slots: list[WorkerSlot], sums: MetricSums) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(_Page(slots, sums, process_registry(), asyncio.get_running_loop()))
    return registry


def about_workers(slots: list[WorkerSlot], sums: MetricSums) -> list[Metric]:
    """Give the metrics about the workers, which no worker could report."""
    streams = GaugeMetricFamily(
        "inkstream_worker_streams", "Streams that are open, by worker.", labels=["worker"]
    )
    for slot in slots:
        streams.add_metric([str(slot.number)], sums.of(slot.number, "inkstream_streams"))
    return [
        GaugeMetricFamily(
            "inkstream_workers",
            "Processes that serve.",
            sum(slot.serves.is_set() for slot in slots),
        ),
        CounterMetricFamily(
            "inkstream_worker_restarts",
            "Restarts of workers that died.",
            sum(slot.restarts for slot in slots),
        ),
        streams,
    ]


class _Page(Collector):
    """The page of metrics: those of all processes added up, and those about the workers."""

    def __init__(
        self,
        slots: list[WorkerSlot],
        sums: MetricSums,
        own: CollectorRegistry,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._slots = slots
        self._sums = sums
        self._own = own
        self._loop = loop

    def describe(self) -> Iterable[Metric]:
        """Name nothing, because the reports of the workers are not known beforehand."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Ask all workers for reports, from the thread of a scrape."""
        return asyncio.run_coroutine_threadsafe(self._collect(), self._loop).result()

    async def _collect(self) -> list[Metric]:
        reports = [asyncio.create_task(slot.report()) for slot in self._slots]
        _, late = await asyncio.wait(reports, timeout=PATIENCE_SECONDS)
        for task in late:
            task.cancel()
        self._sums.reported("supervisor", report(self._own))
        return [*self._sums.metrics(), *about_workers(self._slots, self._sums)]
