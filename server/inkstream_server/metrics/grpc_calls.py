"""Counts calls and messages of every gRPC method, as grpc-ecosystem's Prometheus middleware names them.

Streams are counted a message, in both directions, which the packages at hand for Python do not do.
"""

from __future__ import annotations  # grpc.RpcMethodHandler takes type arguments in its stubs only.

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from inspect import isasyncgenfunction
from time import perf_counter
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from prometheus_client import CollectorRegistry

from inkstream_server.metrics.counters import Count, ItemCounter
from inkstream_server.metrics.histograms import LATENCY_BUCKETS, ItemHistogram, Series

_LABELS = ["grpc_type", "grpc_service", "grpc_method"]


class GrpcMetrics(grpc.aio.ServerInterceptor):
    """The family `grpc_server_*`, every method registered from the start.

    `started - handled` is the number of calls that are open. `grpc_server_handling_seconds` of a stream
    is its whole life; what an item takes is in `inkstream_item_latency_seconds`.
    """

    def __init__(self, registry: CollectorRegistry, services: Iterable[ServiceDescriptor]) -> None:
        """Register all methods of `services`."""
        methods = {
            f"/{service.full_name}/{method.name}": (_type(method), service.full_name, method.name)
            for service in services
            for method in service.methods
        }
        each = methods.values()
        started = ItemCounter("grpc_server_started", "Calls that began.", registry, _LABELS, each)
        handled = ItemCounter(
            "grpc_server_handled",
            "Calls that ended, by status.",
            registry,
            [*_LABELS, "grpc_code"],
            [(*labels, code.name) for labels in each for code in grpc.StatusCode],
        )
        received = ItemCounter(
            "grpc_server_msg_received", "Messages received.", registry, _LABELS, each
        )
        sent = ItemCounter("grpc_server_msg_sent", "Messages sent.", registry, _LABELS, each)
        seconds = ItemHistogram(
            "grpc_server_handling_seconds",
            "Seconds that calls took.",
            LATENCY_BUCKETS,
            registry,
            _LABELS,
            each,
        )
        self._methods = {
            path: _Method(
                started.series[labels],
                {code: handled.series[*labels, code.name] for code in grpc.StatusCode},
                received.series[labels],
                sent.series[labels],
                seconds.series[labels],
            )
            for path, labels in methods.items()
        }

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """Wrap the handler of a known method. Unknown methods have no handler and stay uncounted."""
        handler: grpc.RpcMethodHandler[Any, Any] | None = await continuation(handler_call_details)
        method = self._methods.get(handler_call_details.method)
        if method is None or handler is None:
            return handler  # type: ignore[return-value]  # None is right for unknown methods: grpc answers them.
        return method.wrap(handler)


def counts_of(context: Any) -> tuple[Any, Count, Count]:
    """Give the context beneath, and the counts of messages received and sent, to a handler that counts.

    A handler that uses the context it was given has its messages counted; that takes another coroutine a
    message, which busy streams can do without. Where nobody counts, these counts are nobody's.
    """
    if isinstance(context, _CountingContext):
        return context.beneath, context.method.received, context.method.sent
    return context, Count(), Count()


def status_of(context: Any, error: BaseException | None) -> grpc.StatusCode:
    """Tell with which status a call ends, by its context and what its handler raised, if anything."""
    if isinstance(error, asyncio.CancelledError):
        return grpc.StatusCode.CANCELLED
    # An int until somebody sets a status; abort sets it before it raises.
    stated = context.code()
    if isinstance(stated, grpc.StatusCode):
        return stated
    by_number = {code.value[0]: code for code in grpc.StatusCode}
    if error is not None and not stated:
        return grpc.StatusCode.UNKNOWN
    return by_number.get(stated, grpc.StatusCode.OK)


def _type(method: Any) -> str:
    return {
        (False, False): "unary",
        (True, False): "client_stream",
        (False, True): "server_stream",
        (True, True): "bidi_stream",
    }[method.client_streaming, method.server_streaming]


class _Method:
    """The counters of one method."""

    def __init__(
        self,
        started: Count,
        handled: dict[grpc.StatusCode, Count],
        received: Count,
        sent: Count,
        seconds: Series,
    ) -> None:
        self.started = started
        self.handled = handled
        self.received = received
        self.sent = sent
        self.seconds = seconds

    def wrap(self, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        """Give the handler with its calls and messages counted."""
        behaviours: dict[tuple[bool, bool], tuple[Any, Any]] = {
            (False, False): (handler.unary_unary, grpc.unary_unary_rpc_method_handler),
            (True, False): (handler.stream_unary, grpc.stream_unary_rpc_method_handler),
            (False, True): (handler.unary_stream, grpc.unary_stream_rpc_method_handler),
            (True, True): (handler.stream_stream, grpc.stream_stream_rpc_method_handler),
        }
        streamed = bool(handler.request_streaming), bool(handler.response_streaming)
        behaviour, make = behaviours[streamed]
        counted = self._answering_often if handler.response_streaming else self._answering_once
        wrapped: grpc.RpcMethodHandler[Any, Any] = make(
            counted(behaviour, bool(handler.request_streaming)),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
        return wrapped

    def _answering_once(self, behaviour: Any, takes_stream: bool) -> Callable[..., Any]:
        async def call(request: Any, context: Any) -> Any:
            with _Call(self, context):
                response = await behaviour(self._counted(request, takes_stream), context)
                self.sent.inc()
                return response

        return call

    def _answering_often(self, behaviour: Any, takes_stream: bool) -> Callable[..., Any]:
        async def call(request: Any, context: Any) -> None:
            with _Call(self, context):
                request = self._counted(request, takes_stream)
                if isasyncgenfunction(behaviour):
                    async for response in behaviour(request, context):
                        self.sent.inc()
                        await context.write(response)
                else:
                    await behaviour(request, _CountingContext(context, self))

        return call

    def _counted(self, request: Any, is_stream: bool) -> Any:
        if is_stream:
            return self._count_messages(request)
        self.received.inc()
        return request

    async def _count_messages(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for request in requests:
            self.received.inc()
            yield request


class _Call:
    """Counts one call from its beginning to its status."""

    def __init__(self, method: _Method, context: Any) -> None:
        self._method = method
        self._context = context

    def __enter__(self) -> None:
        self._method.started.inc()
        self._began = perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        self._method.handled[status_of(self._context, error)].inc()
        self._method.seconds.observe(perf_counter() - self._began)


class _CountingContext:
    """A context that counts what is read and written through it."""

    def __init__(self, context: Any, method: _Method) -> None:
        self.beneath = context
        self.method = method

    async def read(self) -> Any:
        message = await self.beneath.read()
        if message is not grpc.aio.EOF:
            self.method.received.inc()
        return message

    async def write(self, message: Any) -> None:
        self.method.sent.inc()
        await self.beneath.write(message)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.beneath, name)
