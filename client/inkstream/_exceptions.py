"""The errors of this package, sorted by what the caller can do; `InkstreamError` draws the tree.

Also translates gRPC statuses and the contract's error codes into them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote

import grpc

from inkstream.v1 import error_pb2


class InkstreamError(Exception):
    """Root of everything that this package raises on purpose, sorted by what the caller can do about it.

        * InkstreamError
          x InputError                  correct the input; the same call would fail again
            - InvalidImage              an image has the wrong shape, dtype or range (also a ValueError)
            - InvalidInk                ink, or a file of ink, is malformed (also a ValueError)
            - InvalidRequest            the client or the server refuses an option (also a ValueError)
            - ModelNotFound             the server has no model of that name (also a LookupError)
            - NoTablet                  no tablet is found, or it may not be read (also a LookupError)
          x RetryableError              the same call may work later, see `retry_after`
            - ConnectionFailed          no server answers at the address (also a ConnectionError)
            - ConnectionLost            the stream broke before the answer came (also a ConnectionError)
            - Overloaded                the server, or a buffer of the client, is full
            - ServerDraining            the server is stopping and did not take the item; another one may
            - EngineFailed              the engine failed on the batch that held the item
            - DeadlineExceeded          the deadline passed before the answer came (also a TimeoutError)
            - AccessPending             the server's tokens are being changed, and the token may be valid soon
          x FatalError                  retrying does not help; somebody has to change something
            - AccessDenied              credentials are missing or insufficient
            - Unsupported               the server does not implement what the contract defines
            - ProtocolError             the other side broke the contract, or is not an inkstream server
            - ClientClosed              the client, or the pen, is closed

    `NoTablet` is defined in `inkstream.tablet`, `InvalidInk` in `inkstream.ink`.
    """


class InputError(InkstreamError):
    """The input is wrong: correct it, do not repeat it.

    Attributes:
        field: the field that the server refuses, for example "tensors.float32"; "" where unknown.
    """

    field: str = ""


class InvalidImage(InputError, ValueError):
    """An image cannot be taken as it is; the message says what came, what is expected and the way there."""


class InvalidRequest(InputError, ValueError):
    """The client or the server refuses an option; the client's message names it."""


class ModelNotFound(InputError, LookupError):
    """The server has no model of that name."""


class RetryableError(InkstreamError):
    """The same call may work later.

    Attributes:
        retry_after: seconds to wait before trying again; None where the server named none.
        strokes: the strokes of a pen that got no result and have to be written again; () for images.
    """

    retry_after: float | None = None
    strokes: tuple[int, ...] = ()


class ConnectionFailed(RetryableError, ConnectionError):
    """No server answers at the address."""


class ConnectionLost(RetryableError, ConnectionError):
    """The stream broke before the answer came; the next use opens a new one."""


class Overloaded(RetryableError):
    """The server, or a buffer of the client, is full."""


class ServerDraining(RetryableError):
    """The server is stopping and did not take the item; it answers everything that it took."""


class EngineFailed(RetryableError):
    """The engine failed on the batch that held the item."""


class DeadlineExceeded(RetryableError, TimeoutError):
    """The deadline passed before the answer came."""


class AccessPending(RetryableError):
    """The server does not know the token, but its file of tokens is being changed: it may be valid soon."""


class FatalError(InkstreamError):
    """Neither correcting the input nor retrying helps."""


class AccessDenied(FatalError):
    """Credentials are missing or insufficient."""


class Unsupported(FatalError):
    """The server does not implement what the contract defines."""


class ProtocolError(FatalError):
    """The other side broke the contract, or is not an inkstream server."""


class ClientClosed(FatalError):
    """The client, or the pen, is closed."""


#: By number of a gRPC status or of the contract's ErrorCode, which are the same; ProtocolError for others.
_BY_CODE: dict[int, type[InkstreamError]] = {
    3: InvalidRequest,
    4: DeadlineExceeded,
    5: ModelNotFound,
    7: AccessDenied,
    8: Overloaded,
    12: Unsupported,
    13: EngineFailed,
    14: ServerDraining,
    16: AccessDenied,
}


def from_item_error(
    refused: error_pb2.ItemError, *, invalid: Callable[[str], InputError] = InvalidImage
) -> InkstreamError:
    """Make the exception for an item that the server answered with an error.

    Args:
        refused: the error.
        invalid: the exception for a malformed item.
    """
    kind = _BY_CODE.get(refused.code, ProtocolError)
    message = refused.message or f"the server refused the item with code {refused.code}, no message"
    error = (invalid if kind is InvalidRequest else kind)(message)
    if isinstance(error, InputError):
        error.field = refused.field
    if isinstance(error, RetryableError) and refused.retry_after_ms:
        error.retry_after = refused.retry_after_ms / 1000
    return error


def from_status(
    failed: grpc.aio.AioRpcError, address: str, *, opened: bool = False
) -> InkstreamError:
    """Make the exception for a call that ended with a status other than OK.

    Args:
        failed: what grpc.aio raised.
        address: where the call went.
        opened: whether the server has answered on this call.
    """
    # A forked child may have a copy of gRPC, with an enumeration of its own.
    code, details = grpc.StatusCode[failed.code().name], failed.details() or "no details"
    if code is grpc.StatusCode.UNAVAILABLE and not opened:
        return unreachable(address, details)
    is_torn = code is grpc.StatusCode.INTERNAL and details == _TORN
    if is_torn or code in _STOPS or (opened and code in _BREAKS):
        return ConnectionLost(f"the stream to {address} broke ({code.name}: {unquote(details)})")
    kind = _BY_CODE.get(code.value[0], ProtocolError)
    retry_after = _pushback(failed)
    if code is grpc.StatusCode.UNAUTHENTICATED and retry_after is not None:
        kind = AccessPending
    error = kind(f"{address} answered {code.name}: {details}{_ADVICE.get(kind, '')}")
    if isinstance(error, RetryableError):
        error.retry_after = retry_after
    return error


def _pushback(failed: grpc.aio.AioRpcError) -> float | None:
    """Seconds after which the server wants to be called again; None if it does not say (gRFC A6)."""
    for key, value in failed.trailing_metadata() or ():
        if key == "grpc-retry-pushback-ms" and re.fullmatch(r"[0-9]{1,9}", str(value)):
            return min(int(value) / 1000, _LONGEST_PUSHBACK)
    return None


def unreachable(address: str, details: str) -> ConnectionFailed:
    """Make the exception for an address where no server answers, or one that is not trusted."""
    details = unquote(details)  # gRPC writes [::1] as %5B::1%5D.
    for words, sentence in _UNREACHABLE:
        if words in details:
            return ConnectionFailed(sentence.format(address=address, details=details))
    # gRPC reports the last address of a name only, so the advice must fit the others too.
    port = ", as 9464 is that of the metrics by default" if address.endswith(":9464") else ""
    return ConnectionFailed(
        f"no inkstream server answers at {address} ({details}); is it running there (`inkstream-server "
        f"serve`), are host and port right{port}, and does it expect TLS (`--tls`), or none?"
    )


_LONGEST_PUSHBACK = 60.0
"""Most seconds that a client waits because a server says so."""

_DISTRUST = (
    "the certificate of {address} is not trusted ({details}); it must be valid today, be for the host in "
    "the address and be signed by an authority in `tls` (`--tls-ca`)"
)
#: What gRPC says about a server that it cannot use, and our sentence for it.
_UNREACHABLE = (
    ("CERTIFICATE_VERIFY_FAILED", _DISTRUST),
    ("Hostname Verification Check failed", _DISTRUST),
    (
        "WRONG_VERSION_NUMBER",
        "the server at {address} does not use TLS ({details}); turn on TLS there, or leave out `tls` "
        "(`--tls`, `--tls-ca`) if you trust the network",
    ),
    (
        "Failed parsing HTTP/2",
        "the server at {address} is not an inkstream server ({details}); check the port, which is not "
        "that of the metrics and the status page (9464 by default)",
    ),
)
#: How gRPC words a write that meets the end of its call; the server's status is lost then.
_TORN = "Internal error from Core"
#: How a call ends when its server stops.
_STOPS = (grpc.StatusCode.CANCELLED, grpc.StatusCode.ABORTED)
#: How an open stream ends when its connection breaks or its server vanishes.
_BREAKS = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)

_ADVICE: dict[type[InkstreamError], str] = {
    AccessDenied: "; pass the `token` that the server knows (`--token-file`), or `tls` with a certificate "
    "that it trusts (`--tls-cert`, `--tls-key`)",
    AccessPending: "; the server's file of tokens is being changed, so try again soon",
    Unsupported: "; is this an inkstream server, and is it as new as this client?",
}
