"""Traces by OpenTelemetry: a span for each call, each message of items or glyph in it, and each batch.

Where traces are off this module is not imported, and nothing else knows of it. Where they are on, whether a
call is recorded is decided once, when it begins; the messages of one that is not run as without traces.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextvars import Context, ContextVar, copy_context
from functools import partial
from time import perf_counter, time_ns
from typing import Any, cast

import grpc
import structlog
from inkstream import __version__
from opentelemetry import context as otel
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    format_trace_id,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from inkstream_server.admission import Overloaded
from inkstream_server.batching import Batcher, StreamFlow
from inkstream_server.blocks import Part, Share
from inkstream_server.computing import EngineFailed
from inkstream_server.engines import Frames, Probabilities
from inkstream_server.fair_queue import Priority
from inkstream_server.grpc_metrics import status_of
from inkstream_server.ink_metrics import InkMetrics
from inkstream_server.metrics import Kind, Metrics
from inkstream_server.pens.easel import Drawing, Easel

CLOSE_SECONDS = 1.0
"""How long the last spans may take to leave when the server stops, though their collector be gone."""

SERVER_FAULTS = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""Statuses that make the span of a call an error, by OpenTelemetry's conventions for gRPC servers."""

CALL: ContextVar[otel.Context | None] = ContextVar("CALL", default=None)
"""The recorded call that the running code works for; None where it is not recorded."""

ADDED_NS: ContextVar[int | None] = ContextVar("ADDED_NS", default=None)
"""When the glyph that is being drawn was asked for, in nanoseconds since the epoch."""


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
        self.batcher = partial(TracedBatcher, tracer)
        """Makes a `Batcher` that makes spans."""
        self.easel = TracedEasel
        """Makes an `Easel` to go with it."""
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


class CallTracer(grpc.aio.ServerInterceptor):
    """Makes a span of each call of `RecognitionService`, within the trace that its caller names.

    To stand behind the gate: who is refused there leaves no span.
    """

    def __init__(self, tracer: Tracer) -> None:
        """Make spans by `tracer`."""
        self._tracer = tracer
        self._propagator = TraceContextTextMapPropagator()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """See `grpc.aio.ServerInterceptor`."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith("/inkstream."):
            return handler
        if handler.stream_stream is not None:
            make: Any = grpc.stream_stream_rpc_method_handler
            behaviour = handler.stream_stream
        else:
            make, behaviour = grpc.unary_unary_rpc_method_handler, handler.unary_unary
        return make(
            partial(self._traced, method.removeprefix("/"), behaviour),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    async def _traced(self, method: str, behaviour: Any, request: Any, context: Any) -> Any:
        told = {
            key: value
            for key, value in context.invocation_metadata() or ()
            if key in self._propagator.fields and isinstance(value, str)
        }
        # An empty context: what this task inherited is no caller's trace.
        parent = self._propagator.extract(told, otel.Context())
        attributes = {"rpc.system.name": "grpc", "rpc.method": method}
        span = self._tracer.start_span(method, parent, SpanKind.SERVER, attributes)
        if not span.is_recording():
            return await behaviour(request, context)
        CALL.set(set_span_in_context(span, otel.Context()))
        structlog.contextvars.bind_contextvars(trace_id=_trace_id(span))
        error: BaseException | None = None
        try:
            return await behaviour(request, context)
        except BaseException as raised:
            error = raised
            raise
        finally:
            code = status_of(context, error)
            span.set_attribute("rpc.response.status_code", code.name)
            if code in SERVER_FAULTS:
                span.set_status(StatusCode.ERROR, _text(context.details()))
            span.end()


class TracedBatcher(Batcher):
    """A batcher that makes a span of each block of a recorded call, and of each batch with such a block.

    The span of a batch continues the trace of the first of them, and is linked to all; the others link to it.
    """

    def __init__(self, tracer: Tracer, *args: Any, **settings: Any) -> None:
        """Make spans by `tracer`; the rest as `Batcher`."""
        super().__init__(*args, **settings)
        self._tracer = tracer
        self._spans: dict[asyncio.Future[list[Share]], Span] = {}

    def submit(
        self,
        frames: Frames,
        flow: StreamFlow | None = None,
        priority: Priority = Priority.TENSOR,
        *,
        deadline: float | None = None,
    ) -> asyncio.Future[list[Share]]:
        """See `Batcher.submit`."""
        call = CALL.get()
        if call is None:
            return super().submit(frames, flow, priority, deadline=deadline)
        span = self._begin(call, len(frames), priority)
        try:
            answer = super().submit(frames, flow, priority, deadline=deadline)
        except Overloaded as full:
            _end_failed(span, full)
            raise
        self._spans[answer] = span
        answer.add_done_callback(self._answered)
        return answer

    def extend(self, answer: asyncio.Future[list[Share]], frames: Frames, flow: StreamFlow) -> bool:
        """See `Batcher.extend`. Of a recorded call each block has a span of its own."""
        return CALL.get() is None and super().extend(answer, frames, flow)

    def compute_now(self, frames: Frames, *, deadline: float | None = None) -> list[Share] | None:
        """See `Batcher.compute_now`."""
        call = CALL.get()
        if call is None:
            return super().compute_now(frames, deadline=deadline)
        began, began_ns = perf_counter(), time_ns()
        try:
            shares = super().compute_now(frames, deadline=deadline)
        except EngineFailed as failure:
            span = self._begin(call, len(frames), Priority.TENSOR, began_ns)
            self._batch_failed([span], began, failure)
            _end_failed(span, failure)
            raise
        if shares is not None:
            span = self._begin(call, len(frames), Priority.TENSOR, began_ns)
            self._batch_computed([span], shares[-1])
            span.end()
        return shares

    def _begin(
        self, call: otel.Context, rows: int, priority: Priority, began_ns: int | None = None
    ) -> Span:
        is_glyph = priority is not Priority.TENSOR
        attributes: dict[str, int | str] = {
            "inkstream.items": rows,
            "inkstream.priority": priority.name.lower(),
        }
        return self._tracer.start_span(
            "glyph" if is_glyph else "items",
            call,
            attributes=attributes,
            start_time=began_ns or ADDED_NS.get(),
        )

    def _answered(self, answer: asyncio.Future[list[Share]]) -> None:
        span = self._spans.pop(answer)
        if answer.cancelled():
            span.set_attribute("inkstream.cancelled", True)
            span.end()
        elif (failure := answer.exception()) is not None:
            _end_failed(span, failure)
        else:
            span.end()

    def _answer(
        self,
        network: Any,
        parts: list[Part],
        frames: list[Frames],
        probabilities: Probabilities,
        started: float,
    ) -> None:
        super()._answer(network, parts, frames, probabilities, started)
        share = parts[0][0].shares[-1] if parts[0][0].shares else None
        # Another batch's, or none, if this one's probabilities were refused: `_fail` has seen to it.
        if self._spans and share is not None and share.batch.started == started:
            self._batch_computed(self._spans_of(parts), share)

    def _fail(self, parts: list[Part], rows: int, cause: BaseException) -> None:
        super()._fail(parts, rows, cause)
        self._batch_failed(self._spans_of(parts), self._now, cause)

    def _spans_of(self, parts: list[Part]) -> list[Span]:
        spans = (self._spans.get(block.answer) for block, _, _ in parts)
        return [span for span in spans if span is not None]

    def _batch_computed(self, items: Sequence[Span], share: Share) -> None:
        if items:
            batch = share.batch
            span = self._begin_batch(items, batch.started)
            span.set_attribute("inkstream.items", len(batch.digits))
            span.set_attribute("inkstream.model", batch.label)
            span.end(_epoch_ns(batch.started + batch.seconds))

    def _batch_failed(self, items: Sequence[Span], started: float, cause: BaseException) -> None:
        if items:
            _end_failed(self._begin_batch(items, started), cause)

    def _begin_batch(self, items: Sequence[Span], started: float) -> Span:
        span = self._tracer.start_span(
            "batch",
            set_span_in_context(items[0], otel.Context()),
            links=[Link(item.get_span_context()) for item in items],
            start_time=_epoch_ns(started),
        )
        for item in items[1:]:
            item.add_link(span.get_span_context())
        return span


class TracedEasel(Easel):
    """An easel that remembers for which call each glyph is drawn, and since when."""

    def __init__(self, batcher: Batcher, metrics: InkMetrics) -> None:
        """See `Easel`."""
        super().__init__(batcher, metrics)
        self._nobody = Context()

    def add(self, pen: Hashable, drawing: Drawing) -> None:
        """See `Easel.add`."""
        if CALL.get() is not None:
            # All that an easel asks of a drawing.
            drawing = cast(Drawing, _RecordedDrawing(drawing))
        super().add(pen, drawing)

    def _schedule(self) -> None:
        # A turn draws for many calls: it must not take itself to be the one's that asked for it.
        self._nobody.run(super()._schedule)


class _RecordedDrawing:
    """A drawing that a recorded call asked for: it is submitted as that call's."""

    def __init__(self, drawing: Drawing) -> None:
        self.priority = drawing.priority
        self._drawing = drawing
        self._context = copy_context()
        self._context.run(ADDED_NS.set, time_ns())

    def submit(self, batcher: Batcher) -> float:
        return self._context.run(self._drawing.submit, batcher)


class TracedMetrics(Metrics):
    """Metrics whose latency has exemplars: for each bucket the trace of the last recorded item in it."""

    def handed_over(self, kind: Kind, seconds: float, items: int) -> None:
        """See `Metrics.handed_over`."""
        super().handed_over(kind, seconds, items)
        call = CALL.get()
        if call is not None:
            self._latency[kind].exemplify(seconds, {"trace_id": _trace_id(get_current_span(call))})


def _trace_id(span: Span) -> str:
    return format_trace_id(span.get_span_context().trace_id)


def _end_failed(span: Span, failure: BaseException) -> None:
    span.record_exception(failure)
    span.set_status(StatusCode.ERROR, str(failure))
    span.end()


def _epoch_ns(moment: float) -> int:
    """Translate a moment on the clock of `time.perf_counter` to nanoseconds since the epoch."""
    return time_ns() + round((moment - perf_counter()) * 1e9)


def _text(details: Any) -> str:
    return details.decode(errors="replace") if isinstance(details, bytes) else details or ""
