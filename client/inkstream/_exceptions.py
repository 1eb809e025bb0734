"""What can go wrong, sorted by what the caller can do about it; `InkstreamError` draws the tree."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote

import grpc

from inkstream.v1 import error_pb2


class InkstreamError(Exception):
    """Root of everything that this package raises on purpose, sorted by what the caller can do about it.

        * InkstreamError
          x InputError                  mend what was passed; repeating it does not help
            - InvalidImage              an image has the wrong shape, dtype or range (also a ValueError)
            - InvalidInk                ink, or a file of ink, is malformed (also a ValueError)
            - InvalidRequest            an option is refused, here or by the server (also a ValueError)
            - ModelNotFound             the server has no model of that name
            - NoTablet                  no tablet is there, or it may not be read (also a LookupError)
          x RetryableError              the same thing may work later, see `retry_after`
            - ConnectionFailed          nobody answers at the address (also a ConnectionError)
            - ConnectionLost            the stream broke with items unanswered (also a ConnectionError)
            - Overloaded                the server has too much to do
            - ServerDraining            the server is stopping: another one may take the item
            - EngineFailed              the engine failed on the batch that held the item
            - DeadlineExceeded          the item's deadline passed first (also a TimeoutError)
          x FatalError                  somebody has to change something
            - AccessDenied              credentials are missing or not good enough
            - Unsupported               the server knows the call but does not do it
            - ProtocolError             the other side broke the contract, or is no inkstream server
            - ClientClosed              the client, or the pen, was closed

    `NoTablet` lives in `inkstream.tablet`, beside what raises it.
    """


class InputError(InkstreamError):
    """What was passed is wrong: mend it, do not repeat it.

    Attributes:
        field: the field that the server blames, for example "tensors.float32"; "" where unknown.
    """

    field: str = ""


class InvalidImage(InputError, ValueError):
    """An image cannot be taken as it is; the message says what came and what is wanted."""


class InvalidRequest(InputError, ValueError):
    """An option is refused: by the client, which names it, or by the server."""


class ModelNotFound(InputError, LookupError):
    """The server has no model of that name."""


class RetryableError(InkstreamError):
    """The same thing may work when tried again.

    Attributes:
        retry_after: seconds after which trying again makes sense, None where the server said none.
        strokes: the strokes of a pen that it is about, to be written again; () where it is about no ink.
    """

    retry_after: float | None = None
    strokes: tuple[int, ...] = ()


class ConnectionFailed(RetryableError, ConnectionError):
    """Nobody answers at the address."""


class ConnectionLost(RetryableError, ConnectionError):
    """The stream broke before the item was answered; the next use opens a new one."""


class Overloaded(RetryableError):
    """The server has too much to do."""


class ServerDraining(RetryableError):
    """The server is stopping: what it had accepted was answered, this was not accepted."""


class EngineFailed(RetryableError):
    """The engine failed on the batch that held the item."""


class DeadlineExceeded(RetryableError, TimeoutError):
    """The deadline passed before there was an answer."""


class FatalError(InkstreamError):
    """Neither mending the input nor trying again helps."""


class AccessDenied(FatalError):
    """Credentials are missing or not good enough."""


class Unsupported(FatalError):
    """The contract knows it, this server does not do it."""


class ProtocolError(FatalError):
    """The other side broke the contract, or is no inkstream server at all."""


class ClientClosed(FatalError):
    """The client, or the pen, was closed before or meanwhile."""


#: gRPC status codes by number. The contract's ErrorCode has the same numbers, so one table serves
#: both; what is not here is a ProtocolError.
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
    refused: error_pb2.ItemError, *, invalid: Callable[[str], InputError] | None = None
) -> InkstreamError:
    """The exception for an item that the server answered with an error.

    Args:
        refused: the error.
        invalid: what to draw for a malformed item; None for InvalidImage.
    """
    kind = _BY_CODE.get(refused.code, ProtocolError)
    error = ((invalid or InvalidImage) if kind is InvalidRequest else kind)(
        refused.message or f"the server refused the item with code {refused.code} and no message"
    )
    if isinstance(error, InputError):
        error.field = refused.field
    if isinstance(error, RetryableError) and refused.retry_after_ms:
        error.retry_after = refused.retry_after_ms / 1000
    return error


def from_status(
    failed: grpc.aio.AioRpcError, address: str, *, opened: bool = False
) -> InkstreamError:
    """The exception for a call that ended with a status other than OK.

    Args:
        failed: what grpc.aio raised.
        address: where the call went, for the message.
        opened: whether the server had answered on the call before.
    """
    code, details = failed.code(), failed.details() or "no details"
    if code is grpc.StatusCode.UNAVAILABLE and not opened:
        return unreachable(address, details)
    is_torn = code is grpc.StatusCode.INTERNAL and details == _TORN
    if is_torn or code in _STOPS or (opened and code in _BREAKS):
        return ConnectionLost(f"the stream to {address} broke ({code.name}: {unquote(details)})")
    kind = _BY_CODE.get(code.value[0], ProtocolError)
    return kind(f"{address} answered {code.name}: {details}{_ADVICE.get(kind, '')}")


def unreachable(address: str, details: str) -> ConnectionFailed:
    """The exception for an address where nobody answers, or somebody who is not trusted."""
    details = unquote(details)  # gRPC writes [::1] as %5B::1%5D.
    if any(doubt in details for doubt in _DISTRUST):
        return ConnectionFailed(
            f"the certificate of {address} is not trusted ({details}); it must be signed by an authority "
            "in `tls` (`--tls-ca`), be for the name in the address, and not have ended"
        )
    if _NO_TLS in details:
        return ConnectionFailed(
            f"what answers at {address} speaks no TLS ({details}); leave `tls` (`--tls`, `--tls-ca`) away "
            "where nobody can listen, or have the server encrypt"
        )
    if _NO_GRPC in details:
        return ConnectionFailed(
            f"what answers at {address} is no inkstream server ({details}); is the port right? "
            "The one of the metrics and the status page, 9464 as a rule, is another"
        )
    # Of a name with several addresses gRPC tells the last error, so the hint must not need that of another.
    port = ", though 9464 is that of the metrics as a rule" if address.endswith(":9464") else ""
    return ConnectionFailed(
        f"no inkstream server answers at {address} ({details}); is it running there (`inkstream-server "
        f"serve`), are host and port right{port}, and does it expect TLS (`--tls`), or none?"
    )


#: What gRPC says of a server's certificate by another authority or out of date, or for another name.
_DISTRUST = ("CERTIFICATE_VERIFY_FAILED", "Hostname Verification Check failed")
#: What it says of an answer that is neither TLS, nor gRPC.
_NO_TLS, _NO_GRPC = "WRONG_VERSION_NUMBER", "Failed parsing HTTP/2"
#: What gRPC's own core says of a write that met the end of its call: the server's word is lost then.
_TORN = "Internal error from Core"
#: How a call ends when its server stops.
_STOPS = frozenset({grpc.StatusCode.CANCELLED, grpc.StatusCode.ABORTED})
#: What a broken connection or a vanished server looks like on a stream that was open.
_BREAKS = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL}
)

_ADVICE: dict[type[InkstreamError], str] = {
    AccessDenied: "; pass the `token` that the server knows (`--token-file`), or `tls` with a certificate "
    "it trusts (`--tls-cert`, `--tls-key`)",
    Unsupported: "; is this an inkstream server, and is it as new as this client?",
}
