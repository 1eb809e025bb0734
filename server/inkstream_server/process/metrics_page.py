"""Serves the HTTP pages of a process."""

from collections.abc import Iterable

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

from inkstream_server.config import Config
from inkstream_server.errors import StartError
from inkstream_server.process.descriptors import for_pages
from inkstream_server.process.http_port import ENDS, HttpPort
from inkstream_server.process.scrapes import Scrapes, form_of
from inkstream_server.process.status_page import pages


class MetricsPage:
    """`/metrics` and the pages of `status_page` over HTTP, served by two threads of their own."""

    is_ready = False
    """Whether `/readyz` says that the server accepts new streams."""

    def __init__(self, config: Config, registry: CollectorRegistry) -> None:
        """Open the port and serve the metrics of `registry`, and those of the port.

        Raises:
            StartError: the port is taken.
        """
        host, port = config.metrics_host, config.metrics_port
        self._scrapes = scrapes = Scrapes(registry)
        respond = pages(lambda request: scrapes.ask(form_of(request)), lambda: self.is_ready)
        try:
            self._port = HttpPort(host, port, respond, most_connections=for_pages())
        except OSError as error:
            scrapes.close()
            raise StartError(
                f"metrics_port: cannot listen on {host}:{port} ({error.strerror}): "
                "choose another --metrics-port, or 0 for a free one"
            ) from error
        registry.register(PortMetrics(self._port))
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._port.port}/metrics"

    def close(self) -> None:
        """Close the port and its connections."""
        self._port.close()
        self._scrapes.close()


class PortMetrics(Collector):
    """The metrics of the port itself."""

    def __init__(self, port: HttpPort | None) -> None:
        """Show the figures of `port`; None shows zeros, for the documentation."""
        self._port = port

    def collect(self) -> Iterable[Metric]:
        """Give the figures now."""
        connections, ended = (0, {}) if self._port is None else (len(self._port), self._port.ended)
        yield GaugeMetricFamily(
            "inkstream_page_connections",
            "Connections to the HTTP pages that are open.",
            connections,
        )
        counts = CounterMetricFamily(
            "inkstream_page_connections_ended",
            "Connections to the HTTP pages that the server ended: to make room for another one, because the "
            "caller was too slow, or because it sent no request that can be read.",
            labels=["reason"],
        )
        for reason in ENDS:
            counts.add_metric([reason], ended.get(reason, 0))
        yield counts


def process_registry() -> CollectorRegistry:
    """Give a registry with the metrics of this process, `process_*` and `python_*`."""
    disable_created_metrics()
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    return registry
