"""The door of a server with tokens: lets in calls that carry a good one, and says whose they are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import grpc

from inkstream_server.access.tokens import Caller, TokenFile

REFUSED_SECONDS = 1.0
"""How long the first message of a refused stream is waited for: clients of grpc.aio lose a status that
overtakes their first write, and say INTERNAL instead."""


if TYPE_CHECKING:
    AnyHandler = grpc.RpcMethodHandler[Any, Any]

CALLER: ContextVar[Caller | None] = ContextVar("CALLER", default=None)
"""Whose call this is; None on a server without tokens. Set for the task that serves the call."""

OPEN_METHODS = frozenset({"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"})
"""What anybody may ask: probes and load balancers carry no token, and learn nothing but up or down."""


class Gate(grpc.aio.ServerInterceptor):
    """Refuses calls without a good token with UNAUTHENTICATED, before anything they send is parsed."""

    def __init__(self, tokens: TokenFile) -> None:
        """Let in whom `tokens` names."""
        self._tokens = tokens

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[AnyHandler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> AnyHandler | None:
        """See `grpc.aio.ServerInterceptor`."""
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method in OPEN_METHODS:
            return handler
        caller = self._caller(handler_call_details)
        if caller is None:
            return _refusing(handler)
        CALLER.set(caller)
        return handler

    def _caller(self, details: grpc.HandlerCallDetails) -> Caller | None:
        given = [
            value for key, value in details.invocation_metadata or () if key == "authorization"
        ]
        if len(given) != 1 or not isinstance(given[0], str):
            return None
        scheme, _, token = given[0].partition(" ")
        return self._tokens.caller(token.strip()) if scheme.lower() == "bearer" else None


def _refusing(handler: AnyHandler) -> AnyHandler:
    """Give a handler of the same kind that lets nobody in. It says the same whatever was wrong."""
    takes_stream = bool(handler.request_streaming)

    async def refuse(request: Any, context: Any) -> None:
        if takes_stream:
            # See REFUSED_SECONDS. What is read is not parsed.
            with suppress(TimeoutError):
                async with asyncio.timeout(REFUSED_SECONDS):
                    await context.read()
        await context.abort(
            grpc.StatusCode.UNAUTHENTICATED,
            'authorization: expected metadata "Bearer TOKEN" with a token that this server knows',
        )

    make: Any = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[takes_stream, bool(handler.response_streaming)]
    refusing: AnyHandler = make(
        refuse,
        response_serializer=handler.response_serializer,
    )
    return refusing
