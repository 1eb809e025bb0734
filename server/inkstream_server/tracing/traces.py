"""Makes what a server needs to be traced, and what spans leave by."""

import os
import sys
import threading

from inkstream import __version__
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from inkstream_server.tracing.batches import BatchTracer
from inkstream_server.tracing.calls import CallTracer
from inkstream_server.tracing.exemplars import TracedMetrics

CLOSE_SECONDS = 1.0
"""How long the last spans may take to leave when the server stops, though their collector be gone."""


class Traces:
    """What a server needs to be traced: what makes spans, and metrics that name their traces."""

    def __init__(self, exporter: SpanExporter, ratio: float) -> None:
        """Send spans to an exporter, in batches and from a thread; what does not fit its queue is dropped.

        Args:
            exporter: takes them.
            ratio: which part of the calls is recorded, 0 to 1, where the caller's trace does not decide.
        """
        resource = Resource.create(
            {"service.name": "inkstream-server", "service.version": __version__}
        )
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(ratio)),
            # What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say comes first.
            resource=resource.merge(OTELResourceDetector().detect()),
            # A batch has at most 256 items, and each may have a span of its own.
            span_limits=SpanLimits(max_links=256),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        tracer = self._provider.get_tracer("inkstream_server", __version__)
        self.calls = CallTracer(tracer)
        """Makes the spans of calls."""
        self.batches = BatchTracer(tracer)
        """Makes the spans of items and batches."""
        self.metrics = TracedMetrics
        """Makes `Metrics` that name traces."""

    def close(self) -> None:
        """Send what is left, within `CLOSE_SECONDS`. Blocks."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)


def exporter(kind: str) -> SpanExporter:
    """Make what spans leave by.

    Args:
        kind: "console" for a JSON object a line on stdout; "otlp" for OTLP over gRPC, to where
            OpenTelemetry's own variables say (OTEL_EXPORTER_OTLP_ENDPOINT, ...).
    """
    if kind == "console":
        return ConsoleSpanExporter(
            out=sys.stdout, formatter=lambda span: span.to_json(indent=None) + os.linesep
        )
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()
