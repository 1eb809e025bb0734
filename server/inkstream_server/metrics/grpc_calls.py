"""Counts calls and messages of every gRPC method, with the names of grpc-ecosystem's Prometheus middleware.

It counts each message of a stream in both directions, which no available Python package does.
"""

from __future__ import annotations  # grpc.RpcMethodHandler takes type arguments in its stubs only.

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
    """The metrics `grpc_server_*`, with all methods present from the start.

    `started - handled` is the number of open calls. `grpc_server_handling_seconds` of a stream is its whole
    life; `inkstream_item_latency_seconds` measures items.
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
        """Wrap the handler of a known method. Unknown methods have no handler and are not counted."""
        handler: grpc.RpcMethodHandler[Any, Any] | None = await continuation(handler_call_details)
        method = self._methods.get(handler_call_details.method)
        if method is None or handler is None:
            return handler  # type: ignore[return-value]  # grpc takes None for an unknown method.
        return method.wrap(handler)


def counts_of(context: Any) -> tuple[Any, Count, Count]:
    """Give the plain context and the counts of messages received and sent, to a handler that counts itself.

    The context that a handler gets counts its messages, but costs another coroutine a message. Without the
    interceptor these counts are discarded.
    """
    if isinstance(context, _CountingContext):
        return context.beneath, context.method.received, context.method.sent
    return context, Count(), Count()


def status_of(context: Any, error: BaseException | None) -> grpc.StatusCode:
    """Give the status of a call by its context and the exception of its handler, if any."""
    if isinstance(error, asyncio.CancelledError):
        return grpc.StatusCode.CANCELLED
    # An int until the handler sets a status; abort sets it before it raises.
    stated = context.code()
    if isinstance(stated, grpc.StatusCode):
        return stated
    by_number = {code.value[0]: code for code in grpc.StatusCode}
    if error is not None and not stated:
        return grpc.StatusCode.UNKNOWN
    return by_number.get(stated, grpc.StatusCode.OK)


def _freeing(behaviour: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Any]:
    """Free the call when it ends by `abort`.

    gRPC keeps the exception in the call, and the exception's traceback keeps the call: 14 kB that only the
    garbage collector frees, seldom. This runs outermost, so that no frame of ours is added after it.
    """

    async def call(request: Any, context: Any) -> Any:
        try:
            return await behaviour(request, context)
        except grpc.aio.AbortError as aborted:
            aborted.__traceback__ = None
            raise

    return call


def _type(method: Any) -> str:
    types = ("unary", "client_stream", "server_stream", "bidi_stream")
    return types[method.client_streaming + 2 * method.server_streaming]


@dataclass(frozen=True, slots=True)
class _Method:
    """The counters of one method."""

    started: Count
    handled: dict[grpc.StatusCode, Count]
    received: Count
    sent: Count
    seconds: Series

    def wrap(self, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        """Give the handler with its calls and messages counted."""
        takes_stream = bool(handler.request_streaming)
        counted = self._answering_often if handler.response_streaming else self._answering_once
        sides = [takes_stream, bool(handler.response_streaming)]
        kind = "_".join("stream" if is_stream else "unary" for is_stream in sides)
        wrapped: grpc.RpcMethodHandler[Any, Any] = getattr(grpc, f"{kind}_rpc_method_handler")(
            counted(getattr(handler, kind), takes_stream),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
        return wrapped

    def _answering_once(self, behaviour: Any, takes_stream: bool) -> Callable[..., Any]:
        @_freeing
        async def call(request: Any, context: Any) -> Any:
            with self._call(context):
                response = await behaviour(self._counted(request, takes_stream), context)
                self.sent.inc()
                return response

        return call

    def _answering_often(self, behaviour: Any, takes_stream: bool) -> Callable[..., Any]:
        @_freeing
        async def call(request: Any, context: Any) -> None:
            with self._call(context):
                request = self._counted(request, takes_stream)
                if isasyncgenfunction(behaviour):
                    async for response in behaviour(request, context):
                        self.sent.inc()
                        await context.write(response)
                else:
                    await behaviour(request, _CountingContext(context, self))

        return call

    @contextmanager
    def _call(self, context: Any) -> Iterator[None]:
        """Count a call from its start to its status."""
        self.started.inc()
        began = perf_counter()
        try:
            yield
        finally:
            self.handled[status_of(context, sys.exception())].inc()
            self.seconds.observe(perf_counter() - began)

    def _counted(self, request: Any, is_stream: bool) -> Any:
        if is_stream:
            return self._count_messages(request)
        self.received.inc()
        return request

    async def _count_messages(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for request in requests:
            self.received.inc()
            yield request


class _CountingContext:
    """A context that counts the messages that are read and written through it."""

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
