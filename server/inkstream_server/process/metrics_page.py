"""Serves the HTTP pages of a process."""

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    make_wsgi_app,
    start_http_server,
)

from inkstream_server.config import Config
from inkstream_server.errors import StartError
from inkstream_server.process.status_page import pages


class MetricsPage:
    """`/metrics` and the pages of `status_page` over HTTP, served by threads of their own."""

    is_ready = False
    """Whether `/readyz` says that the server accepts new streams."""

    def __init__(self, config: Config, registry: CollectorRegistry) -> None:
        """Open the port and serve the metrics of `registry`.

        Raises:
            StartError: the port is taken.
        """
        host, port = config.metrics_host, config.metrics_port
        try:
            self._server, _ = start_http_server(port, host, registry)
        except OSError as error:
            raise StartError(
                f"metrics_port: cannot listen on {host}:{port} ({error.strerror}): "
                "choose another --metrics-port, or 0 for a free one"
            ) from error
        self._server.set_app(pages(make_wsgi_app(registry), lambda: self.is_ready))
        self.url = f"http://{host}:{self._server.server_port}/metrics"

    def close(self) -> None:
        """Close the port. Takes up to half a second."""
        self._server.shutdown()
        self._server.server_close()


def process_registry() -> CollectorRegistry:
    """Give a registry with the metrics of this process, `process_*` and `python_*`."""
    disable_created_metrics()
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    return registry
