"""The life of a server process: start up, serve, drain, stop."""

import asyncio
import gc
import json
import os
import signal
import tempfile
from pathlib import Path
from time import perf_counter
from types import ModuleType

import grpc
from grpc_health.v1 import health_pb2
from grpc_health.v1._async import HealthServicer
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from grpc_reflection.v1alpha import reflection, reflection_pb2
from inkstream.v1 import recognition_service_pb2
from inkstream.v1.recognition_service_pb2_grpc import add_RecognitionServiceServicer_to_server
from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)

from inkstream_server import logs, model_store
from inkstream_server.batching import Batcher
from inkstream_server.config import Config
from inkstream_server.grpc_metrics import GrpcMetrics
from inkstream_server.metrics import Metrics
from inkstream_server.pens.ink_session import Ground
from inkstream_server.pens.limits import PenLimits
from inkstream_server.pens.settings import QuietTimes
from inkstream_server.rejection import rule_of
from inkstream_server.service import RecognitionService
from inkstream_server.session import Limits

try:
    import uvloop as _uvloop

    uvloop: ModuleType | None = _uvloop
except ImportError:  # Not made for Windows.
    uvloop = None

SERVICE = recognition_service_pb2.DESCRIPTOR.services_by_name["RecognitionService"]


STOP_SECONDS = 1.0
"""What calls that are no streams get to end when the server stops."""


class StartError(Exception):
    """The server cannot start; the message says why and what would mend it."""


def serve(config: Config) -> None:
    """Run a server until SIGTERM or SIGINT, then drain it and return.

    Raises:
        StartError: the address is taken, or the model cannot be served.
    """
    logs.configure(config.log_format, config.log_level)
    loop_factory = uvloop.new_event_loop if uvloop else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_live(config))


async def _live(config: Config) -> None:
    stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    server = Server(config)
    await server.start()
    # What was imported stays: looking through it again would hold up every stream for 40 ms.
    gc.collect()
    gc.freeze()
    await stop.wait()
    await server.drain()


class Server:
    """A server in the running event loop: gRPC on one port, metrics on another."""

    def __init__(self, config: Config) -> None:
        """Prepare; nothing is loaded or opened yet."""
        self._config = config

    async def start(self) -> None:
        """Load and warm the model, open the ports, say that all is ready.

        Raises:
            StartError: see `serve`.
        """
        began = perf_counter()
        config = self._config
        try:
            model = model_store.load(config.model_store, config.model, config.engine)
            rule = rule_of(model.card_json)
        except model_store.ModelError as error:
            raise StartError(str(error)) from error
        except ValueError as error:
            raise StartError(f"the card of model {config.model}: {error}") from error

        disable_created_metrics()
        registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        metrics = Metrics(registry, lambda: self._batcher.queue_depth)
        metrics.serving(model)
        self._batcher = Batcher(
            model.engine,
            model.label,
            metrics,
            max_batch=config.max_batch,
            max_queue=config.max_queue,
            linger=config.linger_ms / 1000,
            rule=rule,
        )
        limits = Limits(config.window, config.max_frames_per_message)
        ground = Ground.over(
            self._batcher,
            metrics,
            PenLimits(pens=config.max_pens, points_per_stream=config.max_points),
            QuietTimes(config.quiet_ms / 1000, config.short_quiet_ms / 1000),
        )
        self._service = RecognitionService(model, self._batcher, metrics, limits, ground)
        health = health_pb2.DESCRIPTOR.services_by_name["Health"]
        mirror = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"]
        self._grpc = grpc.aio.server(
            interceptors=[GrpcMetrics(registry, [SERVICE, health, mirror])],
            options=[
                ("grpc.max_receive_message_length", config.max_message_bytes),
                ("grpc.max_send_message_length", -1),
                # The default tolerates one idle ping in five minutes and then hangs up.
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
                ("grpc.keepalive_permit_without_calls", 1),
                # Two servers on one port would share its connections without a word.
                ("grpc.so_reuseport", 0),
            ],
        )
        add_RecognitionServiceServicer_to_server(self._service, self._grpc)
        self._health = HealthServicer()
        add_HealthServicer_to_server(self._health, self._grpc)
        reflection.enable_server_reflection(
            (SERVICE.full_name, health.full_name, reflection.SERVICE_NAME), self._grpc
        )
        address = self._open(config.host, config.port)
        metrics_url = self._open_metrics(registry)
        await self._grpc.start()
        for name in ("", SERVICE.full_name):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        if config.ready_file is not None:
            ready = {"address": address, "metrics": metrics_url, "pid": os.getpid()}
            try:
                _write_whole(config.ready_file, json.dumps(ready))
            except OSError as error:
                raise StartError(
                    f"ready_file: cannot write {config.ready_file} ({error.strerror}): "
                    "its folder must exist and be writable"
                ) from error
        logs.get().info(
            "ready",
            address=address,
            metrics=metrics_url,
            model=model.label,
            engine=model.engine.name,
            seconds=round(perf_counter() - began, 3),
        )

    async def drain(self) -> None:
        """Answer what was accepted, send callers elsewhere, close the ports."""
        began = perf_counter()
        logs.get().info("drain", timeout_s=self._config.drain_timeout)
        await self._health.enter_graceful_shutdown()
        await self._service.drain(self._config.drain_timeout)
        # Streams have their answers; unary calls take milliseconds. What else is open (a watch on the
        # health, a stream never configured) has no end of its own and would use up any time given.
        await self._grpc.stop(STOP_SECONDS)
        await self._batcher.close()
        self._metrics_server.shutdown()
        self._metrics_server.server_close()
        if self._config.ready_file is not None:
            self._config.ready_file.unlink(missing_ok=True)
        logs.get().info("stopped", seconds=round(perf_counter() - began, 3))

    def _open(self, host: str, port: int) -> str:
        shown = f"[{host}]" if ":" in host else host
        try:
            bound = self._grpc.add_insecure_port(f"{shown}:{port}")
        except RuntimeError as error:
            raise StartError(
                f"port: cannot listen on {shown}:{port}; another program may hold it: "
                "choose another --port, or 0 for a free one"
            ) from error
        return f"{shown}:{bound}"

    def _open_metrics(self, registry: CollectorRegistry) -> str:
        host, port = self._config.metrics_host, self._config.metrics_port
        try:
            self._metrics_server, _ = start_http_server(port, host, registry)
        except OSError as error:
            raise StartError(
                f"metrics_port: cannot listen on {host}:{port} ({error.strerror}): "
                "choose another --metrics-port, or 0 for a free one"
            ) from error
        return f"http://{host}:{self._metrics_server.server_port}/metrics"


def _write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader sees all of it or none."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
    Path(file.name).replace(path)
