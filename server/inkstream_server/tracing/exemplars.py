"""Exemplars: a trace for each bucket of the latency histogram."""

from opentelemetry.trace import get_current_span

from inkstream_server.metrics.items import Kind, Metrics
from inkstream_server.tracing.calls import CALL, trace_id


class TracedMetrics(Metrics):
    """Metrics whose latency has exemplars: for each bucket, the trace of the last recorded item in it."""

    def handed_over(self, kind: Kind, seconds: float, items: int) -> None:
        """See `Metrics.handed_over`."""
        super().handed_over(kind, seconds, items)
        call = CALL.get()
        if call is not None:
            self._latency[kind].exemplify(seconds, {"trace_id": trace_id(get_current_span(call))})
