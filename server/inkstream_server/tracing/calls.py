"""Spans of calls, within the traces that their callers name."""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from typing import Any

import grpc
import structlog
from opentelemetry import context as otel
from opentelemetry.trace import (
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    format_trace_id,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from inkstream_server.metrics.grpc_calls import status_of

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
"""Statuses that make a call's span an error, by OpenTelemetry's conventions for gRPC servers."""

CALL: ContextVar[otel.Context | None] = ContextVar("CALL", default=None)
"""The call that the running code works for; None if it is not recorded."""


class CallTracer(grpc.aio.ServerInterceptor):
    """Makes a span of each call of `RecognitionService`, in the trace that its caller names.

    Add it behind the gate, so that calls without a good token leave no span.
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
        # All our handlers take and give streams of bytes; see `rpc.unary`.
        return grpc.stream_stream_rpc_method_handler(
            partial(self._traced, method.removeprefix("/"), handler.stream_stream)
        )

    async def _traced(self, method: str, behaviour: Any, request: Any, context: Any) -> Any:
        carrier = {
            key: value
            for key, value in context.invocation_metadata() or ()
            if key in self._propagator.fields and isinstance(value, str)
        }
        # An empty context, because a trace that this task inherited is not the caller's.
        parent = self._propagator.extract(carrier, otel.Context())
        attributes = {"rpc.system.name": "grpc", "rpc.method": method}
        span = self._tracer.start_span(method, parent, SpanKind.SERVER, attributes)
        if not span.is_recording():
            return await behaviour(request, context)
        CALL.set(set_span_in_context(span, otel.Context()))
        structlog.contextvars.bind_contextvars(trace_id=trace_id(span))
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


def trace_id(span: Span) -> str:
    """Give a span's trace id as logs and exemplars show it: 32 hexadecimal digits."""
    return format_trace_id(span.get_span_context().trace_id)


def exemplar() -> dict[str, str] | None:
    """Give the trace of the call that the running code works for, as labels; None if it is not recorded."""
    call = CALL.get()
    return None if call is None else {"trace_id": trace_id(get_current_span(call))}


def _text(details: Any) -> str:
    return details.decode(errors="replace") if isinstance(details, bytes) else details or ""
