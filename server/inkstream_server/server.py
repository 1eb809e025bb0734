"""The life of a server process: start, serve, drain, stop."""

import asyncio
import gc
from collections.abc import Coroutine
from dataclasses import replace
from functools import partial
from time import perf_counter

import grpc
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from inkstream.v1 import recognition_service_pb2
from prometheus_client import Gauge

from inkstream_server import logs
from inkstream_server.access.first_message import LEAST_READS, STRANGERS_READS, FirstMessages
from inkstream_server.access.gate import Gate
from inkstream_server.access.tls import expiry
from inkstream_server.access.tokens import TokenError, TokenFile
from inkstream_server.batching.batcher import Batcher
from inkstream_server.batching.dispatcher import Dispatcher
from inkstream_server.config import Config
from inkstream_server.errors import ServeError, StartError, shown
from inkstream_server.limits.machine_memory import memory_limits
from inkstream_server.limits.memory_book import MemoryBook
from inkstream_server.limits.memory_watch import MemoryWatch, resident, trim_function
from inkstream_server.metrics.grpc_calls import GrpcMetrics
from inkstream_server.metrics.items import Metrics, show_certificate, show_tokens
from inkstream_server.metrics.memory import MemoryMetrics
from inkstream_server.metrics.refusals import RefusedCalls
from inkstream_server.model_store.store import Model, ModelError
from inkstream_server.model_store.watch import ModelWatch
from inkstream_server.pens.limits import PenLimits
from inkstream_server.pens.resources import InkResources
from inkstream_server.pens.settings import QuietTimes
from inkstream_server.process import affinity, descriptors, signals
from inkstream_server.process.metrics_page import MetricsPage, process_registry
from inkstream_server.process.ready_file import write_ready_file
from inkstream_server.process.watchdog import Watchdog
from inkstream_server.rpc import listener
from inkstream_server.rpc.event_loop import new_event_loop
from inkstream_server.rpc.health import Health
from inkstream_server.rpc.reflection import reflection_handlers
from inkstream_server.rpc.service import RecognitionService
from inkstream_server.streams.lifetime import OpenStreams, StreamLimits
from inkstream_server.streams.session import Limits
from inkstream_server.tracing.start import start_traces

SERVICE = recognition_service_pb2.DESCRIPTOR.services_by_name["RecognitionService"]
SERVICES = (
    SERVICE,
    health_pb2.DESCRIPTOR.services_by_name["Health"],
    reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"],
)
"""All services that can be called, and whose calls are counted."""
HEALTH_NAMES = ("", SERVICE.full_name)
"""Names that the health service knows: the server as a whole, and its service."""

STOP_SECONDS = 1.0
"""How long calls other than streams may take to end when the server stops."""


def serve(config: Config) -> None:
    """Run a server in this process until SIGTERM, SIGINT or SIGHUP, then drain it and return.

    Raises:
        StartError: the address is taken, or the model cannot be served.
        ServeError: gRPC closed the port by itself.
    """
    logs.configure(config.log_format, config.log_level)
    descriptors.log_shortage(config)
    if config.pin:
        affinity.pin(0)
    run_loop(_live(config))


def run_loop(main: Coroutine[None, None, None]) -> None:
    """Run a server's event loop until `main` returns."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main)


async def _live(config: Config) -> None:
    stop = asyncio.Event()
    signals.stop_on_signals(stop.set)
    logs.shift_on_signals(asyncio.get_running_loop())
    signals.deliver()
    began = perf_counter()
    server = Server(config)
    if not await unless(stop, server.open()):
        return
    # A supervisor has this metric, too, so that rules need no distinction.
    Gauge("inkstream_workers", "Processes that serve.", registry=server.registry).set(1)
    page = MetricsPage(config, server.registry)
    await server.start()
    await server.announce()
    page.is_ready = True
    if config.ready_file is not None:
        write_ready_file(config.ready_file, server.address, page.url)
    logs.get().info(
        "ready",
        address=server.address,
        metrics=page.url,
        model=server.model.label,
        engine=server.model.images.engine.name,
        seconds=round(perf_counter() - began, 3),
    )
    failure = None
    try:
        await unless(stop, server.lost())
    except ServeError as lost:
        failure = lost
    page.is_ready = False
    began = perf_counter()
    logs.get().info("drain", timeout_s=config.drain_timeout)
    await server.drain()
    page.close()
    if config.ready_file is not None:
        config.ready_file.unlink(missing_ok=True)
    logs.get().info("stopped", seconds=round(perf_counter() - began, 3))
    if failure is not None:
        raise failure


async def unless(stop: asyncio.Event, work: Coroutine[None, None, None]) -> bool:
    """Do some work, or cancel it when `stop` is set; gives whether it was done."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    for task in (working, stopping):
        task.cancel()
    await asyncio.wait({working, stopping})
    if working.cancelled():
        return False
    working.result()  # Raises the exception of the work.
    return True


def log_failure(watcher: asyncio.Task[None]) -> None:
    """Log a background task that failed and has ended."""
    if not watcher.cancelled() and (error := watcher.exception()) is not None:
        logs.get().error(
            "watcher_died",
            watcher=watcher.get_name(),
            error=shown(f"{type(error).__name__}: {error}"),
            exc_info=error,
        )


class Server:
    """A server in the running event loop: `open`, `start`, `announce`, and at the end `drain`."""

    model: Model
    """The model that answers; set once the server is open."""
    address: str
    """Its address, as clients write it; set once the server is open."""

    def __init__(self, config: Config, *, shares_port: bool = False) -> None:
        """Prepare; nothing is loaded or opened yet.

        Args:
            config: its settings.
            shares_port: whether other processes may listen on the port, too. The kernel then distributes
                connections among them.
        """
        self._config = config
        self._shares_port = shares_port
        self._tokens: TokenFile | None = None
        self.registry = process_registry()
        self._watchers: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Load and warm the model and take the port, without listening yet.

        Raises:
            StartError: see `serve`.
        """
        config = self._config
        registry = self.registry
        self._traces = traces = start_traces(config)
        self._metrics = metrics = Metrics(
            registry, lambda: self._dispatcher.queue.class_rows, traces.exemplar if traces else None
        )
        if config.tls_cert is not None:
            show_certificate(registry, partial(expiry, config.tls_cert))
        self._watch = ModelWatch(
            config.model_store, config.model, config.engine, self, config.model_timeout
        )
        try:
            self.model = model = await self._watch.load_first()
        except ModelError as error:
            raise StartError(str(error)) from error
        metrics.serving(model)
        self._dispatcher = Dispatcher(
            [metrics, traces.batches] if traces else [metrics],
            max_batch=config.max_batch,
            max_queue=config.max_queue,
            linger=config.linger_ms / 1000,
        )
        self._images = Batcher(self._dispatcher, model.images)
        self._ink = Batcher(self._dispatcher, model.ink)
        limits = Limits(config.window, config.max_frames_per_message)
        resources = InkResources.over(
            self._ink,
            metrics,
            PenLimits(pens=config.max_pens, points_per_stream=config.max_points),
            QuietTimes(config.quiet_ms / 1000, config.short_quiet_ms / 1000),
        )
        streams = OpenStreams(
            StreamLimits(
                streams=config.max_streams,
                idle_seconds=config.max_stream_idle,
                age_seconds=config.max_stream_age,
            )
        )
        book = MemoryBook(memory_limits(config))
        self._memory = MemoryWatch(book, resident, trim_function(), config.max_message_bytes)
        MemoryMetrics(registry, book, lambda: self._memory.ended)
        refused = RefusedCalls(registry).count
        # A message of an unknown size may grow to the greatest size.
        most_reads = max(LEAST_READS, book.process.limit // 4 // config.max_message_bytes)
        messages = FirstMessages(most_reads, refused)
        strangers = FirstMessages(STRANGERS_READS, refused)
        self._service = RecognitionService(
            model, self._images, metrics, limits, resources, streams, book, messages
        )
        self._health = Health(HEALTH_NAMES, strangers)
        self._grpc = grpc.aio.server(
            # Counts first, so that calls that the gate refuses are counted, too.
            interceptors=[
                GrpcMetrics(registry, SERVICES),
                *self._gate(strangers),
                *([traces.calls] if traces else []),
            ],
            options=listener.options(
                replace(config, max_connections=descriptors.for_callers(config)),
                shares_port=self._shares_port,
            ),
        )
        names = [service.full_name for service in SERVICES]
        methods = (
            self._service.handlers,
            self._health.handlers,
            reflection_handlers(names, messages),
        )
        for name, handlers in zip(names, methods, strict=True):
            listener.add_methods(self._grpc, name, handlers)
        self.address = listener.open_port(self._grpc, config)

    async def start(self) -> None:
        """Listen and answer calls. The health is NOT_SERVING until `announce`."""
        await self._grpc.start()
        self._accepting = asyncio.create_task(self._grpc.wait_for_termination())
        config = self._config
        watching = [self._service.end_stalled_streams(config.stall_timeout), self._memory.run()]
        if config.model_poll:
            watching.append(self._watch.run(config.model_poll))
        if config.stuck_timeout:
            dog = Watchdog(config.stuck_timeout, lambda: self._dispatcher.working_on)
            watching.append(dog.run())
        if self._tokens is not None:
            watching.append(self._tokens.watch())
        self._watchers = [
            asyncio.create_task(it, name=getattr(it, "__qualname__", None)) for it in watching
        ]
        for watcher in self._watchers:
            watcher.add_done_callback(log_failure)
        # The garbage collector skips what was imported: to scan it would block every stream for 40 ms.
        gc.collect()
        gc.freeze()

    async def lost(self) -> None:
        """Wait until gRPC closes the port by itself, which ends every call.

        Raises:
            ServeError: that happened.
        """
        # Shielded, because gRPC could not stop any more if its own future were cancelled.
        error = (await asyncio.gather(asyncio.shield(self._accepting), return_exceptions=True))[0]
        logs.get().critical("port_lost", exc_info=error)
        raise ServeError(
            f"port: gRPC closed {self.address} after an error of its own: see the log, and start again"
        )

    async def announce(self) -> None:
        """Set the health to SERVING."""
        self._health.set(is_serving=True)

    def swapped(self, model: Model) -> None:
        """See `watch.ModelListener`."""
        self.model = model
        self._images.serve(model.images)
        self._ink.serve(model.ink)
        self._service.serve(model)
        self._metrics.serving(model)
        self._metrics.model_changed("swapped")

    def refused(self) -> None:
        """See `watch.ModelListener`."""
        self._metrics.model_changed("refused")

    def stands_refused(self, is_refused: bool) -> None:
        """See `watch.ModelListener`."""
        self._metrics.model_stands_refused(is_refused)

    async def drain(self) -> None:
        """Answer what was accepted, send clients elsewhere and close the port, all within the timeout."""
        end = perf_counter() + self._config.drain_timeout
        self._health.set(is_serving=False)
        grace = self._config.drain_timeout
        await self._service.drain(grace - min(STOP_SECONDS, grace / 4))
        # Streams have their answers, and unary calls take milliseconds. Other open calls (a watch on the
        # health, a stream that was never configured) would use up any time they are given.
        await self._grpc.stop(min(STOP_SECONDS, max(0.0, end - perf_counter())))
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.wait(self._watchers)
        await self._dispatcher.close()
        if self._traces:
            await asyncio.to_thread(self._traces.close)

    def _gate(self, messages: FirstMessages) -> list[grpc.aio.ServerInterceptor]:
        """Give the interceptor that checks tokens; None without a file of tokens."""
        path = self._config.tokens
        if path is None:
            return []
        try:
            self._tokens = tokens = TokenFile(path)
        except TokenError as error:
            raise StartError(str(error)) from error
        show_tokens(self.registry, lambda: tokens.is_refused)
        streaming = {
            f"/{service.full_name}/{method.name}"
            for service in SERVICES
            for method in service.methods
            if method.client_streaming
        }
        return [Gate(self._tokens, messages, streaming)]
