"""Lets in only calls with a valid token, and names the caller of each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import grpc

from inkstream_server.access.tokens import LOOK_SECONDS, Caller, TokenFile

REFUSED_SECONDS = 1.0
"""How long to wait for the first message of a refused stream: if the status arrives before a client of
grpc.aio writes its first message, the client loses the status and reports INTERNAL."""

CALL_AGAIN = (("grpc-retry-pushback-ms", str(round(LOOK_SECONDS * 1000))),)
"""Trailers of a refusal that may pass, because the file of tokens is being changed (gRFC A6). Without them a
refusal is final."""

if TYPE_CHECKING:
    AnyHandler = grpc.RpcMethodHandler[Any, Any]

CALLER: ContextVar[Caller | None] = ContextVar("CALLER", default=None)
"""The caller of the call that the running task serves; None on a server without tokens."""

OPEN_METHODS = frozenset({"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"})
"""Methods that need no token: probes and load balancers have none, and learn only up or down."""


class Gate(grpc.aio.ServerInterceptor):
    """Refuses calls without a valid token with UNAUTHENTICATED, before their messages are parsed."""

    def __init__(self, tokens: TokenFile) -> None:
        """Let in the callers in `tokens`."""
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
        token = _token_of(handler_call_details)
        caller = self._tokens.caller(token) if token else None
        if caller is None:
            may_pass = token and not self._tokens.is_settled
            return _refusing(handler, CALL_AGAIN if may_pass else ())
        CALLER.set(caller)
        return handler


def _token_of(details: grpc.HandlerCallDetails) -> str:
    """Give the token of a call; "" if it has none, or several."""
    given = [value for key, value in details.invocation_metadata or () if key == "authorization"]
    if len(given) != 1 or not isinstance(given[0], str):
        return ""
    scheme, _, token = given[0].partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _refusing(handler: AnyHandler, trailers: tuple[tuple[str, str], ...]) -> AnyHandler:
    """Give a handler of the same kind that refuses every call, with the same message for every reason."""
    takes_stream = bool(handler.request_streaming)

    async def refuse(request: Any, context: Any) -> None:
        if takes_stream:
            # See REFUSED_SECONDS. The message is not parsed.
            with suppress(TimeoutError):
                async with asyncio.timeout(REFUSED_SECONDS):
                    await context.read()
        await context.abort(
            grpc.StatusCode.UNAUTHENTICATED,
            'authorization: expected metadata "Bearer TOKEN" with a token that this server knows',
            trailers,
        )

    sides = [takes_stream, bool(handler.response_streaming)]
    kind = "_".join("stream" if is_stream else "unary" for is_stream in sides)
    refusing: AnyHandler = getattr(grpc, f"{kind}_rpc_method_handler")(
        refuse, response_serializer=handler.response_serializer
    )
    return refusing
