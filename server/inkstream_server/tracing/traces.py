"""Sets up tracing: what makes spans, and the exporter that sends them."""

import os
import sys
import threading

from inkstream import __version__
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from inkstream_server.tracing.batches import BatchTracer
from inkstream_server.tracing.calls import CallTracer, exemplar

CLOSE_SECONDS = 1.0
"""How long a stopping server waits until the last spans are sent."""


class Traces:
    """The parts of a traced server: an interceptor of calls, an observer of batches, and exemplars."""

    def __init__(self, exporter: SpanExporter, ratio: float) -> None:
        """Send spans to an exporter from a thread, in batches. Spans that do not fit its queue are dropped.

        Args:
            exporter: sends them.
            ratio: share of the calls that is recorded, 0 to 1, unless the caller's trace decides.
        """
        resource = Resource.create(
            {"service.name": "inkstream-server", "service.version": __version__}
        )
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(ratio)),
            # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES override this.
            resource=resource.merge(OTELResourceDetector().detect()),
            # A batch has at most 256 items, each perhaps with a span of its own.
            span_limits=SpanLimits(max_links=256),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        tracer = self._provider.get_tracer("inkstream_server", __version__)
        self.calls = CallTracer(tracer)
        """Makes the spans of calls."""
        self.batches = BatchTracer(tracer)
        """Makes the spans of items and batches."""
        self.exemplar = exemplar
        """Names the trace of an item for `Metrics`."""

    def close(self) -> None:
        """Send the last spans; blocks for at most `CLOSE_SECONDS`."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)


def exporter(kind: str) -> SpanExporter:
    """Make an exporter.

    Args:
        kind: "console" for a JSON object a line on stdout; "otlp" for OTLP over gRPC to the endpoint in
            OpenTelemetry's own variables (OTEL_EXPORTER_OTLP_ENDPOINT, ...).
    """
    if kind == "console":
        return ConsoleSpanExporter(
            out=sys.stdout, formatter=lambda span: span.to_json(indent=None) + os.linesep
        )
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()
