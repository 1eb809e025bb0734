"""Lets in only calls with a valid token, and names the caller of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc

from inkstream_server.access.first_message import FirstMessages, Status
from inkstream_server.access.tokens import LOOK_SECONDS, Caller, TokenFile

if TYPE_CHECKING:
    AnyHandler = grpc.RpcMethodHandler[Any, Any]

CALLER: ContextVar[Caller | None] = ContextVar("CALLER", default=None)
"""The caller of the call that the running task serves; None on a server without tokens."""

NO_TOKEN = Status(
    grpc.StatusCode.UNAUTHENTICATED,
    'authorization: expected metadata "Bearer TOKEN" with a token that this server knows',
)
"""The status of every call without a valid token, whatever is wrong with it."""

CALL_AGAIN = NO_TOKEN._replace(
    trailers=(("grpc-retry-pushback-ms", str(round(LOOK_SECONDS * 1000))),)
)
"""The same where it may pass, because the file of tokens is being changed (gRFC A6). Without these trailers a
refusal is final."""

OPEN_METHODS = frozenset({"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"})
"""Methods that need no token: probes and load balancers have none, and learn only up or down."""


class Gate(grpc.aio.ServerInterceptor):
    """Refuses calls without a valid token with UNAUTHENTICATED, before their messages are read."""

    def __init__(
        self, tokens: TokenFile, messages: FirstMessages, streaming: Container[str]
    ) -> None:
        """Let in the callers in `tokens`.

        Args:
            tokens: the callers.
            messages: reads what must be read of a call that is refused.
            streaming: paths of the methods that take a stream of messages.
        """
        self._streaming = streaming
        self._tokens = tokens
        self._messages = messages

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
            status = CALL_AGAIN if token and not self._tokens.is_settled else NO_TOKEN
            is_stream = handler_call_details.method in self._streaming
            refuse = self._refuse_stream if is_stream else self._refuse
            return grpc.stream_stream_rpc_method_handler(partial(refuse, status))
        CALLER.set(caller)
        return handler

    async def _refuse_stream(self, status: Status, _requests: object, context: Any) -> None:
        await self._messages.refuse_stream(context, "token", status)

    async def _refuse(self, status: Status, _requests: object, context: Any) -> None:
        """Refuse a unary call, at once: its message is not read."""
        self._messages.refused("token")
        await context.abort(*status)


def _token_of(details: grpc.HandlerCallDetails) -> str:
    """Give the token of a call; "" if it has none, or several."""
    given = [value for key, value in details.invocation_metadata or () if key == "authorization"]
    if len(given) != 1 or not isinstance(given[0], str):
        return ""
    scheme, _, token = given[0].partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
