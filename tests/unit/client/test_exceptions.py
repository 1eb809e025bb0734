from __future__ import annotations

import re

import grpc
import inkstream
import inkstream.tablet
import pytest
from inkstream import _exceptions
from inkstream._options.retry import is_retried
from inkstream.v1 import error_pb2


def failed(code: grpc.StatusCode) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details="because")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, inkstream.InvalidRequest),
        (grpc.StatusCode.DEADLINE_EXCEEDED, inkstream.DeadlineExceeded),
        (grpc.StatusCode.NOT_FOUND, inkstream.ModelNotFound),
        (grpc.StatusCode.PERMISSION_DENIED, inkstream.AccessDenied),
        (grpc.StatusCode.UNAUTHENTICATED, inkstream.AccessDenied),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, inkstream.Overloaded),
        (grpc.StatusCode.UNIMPLEMENTED, inkstream.Unsupported),
        (grpc.StatusCode.INTERNAL, inkstream.EngineFailed),
        (grpc.StatusCode.UNAVAILABLE, inkstream.ConnectionFailed),
        (grpc.StatusCode.DATA_LOSS, inkstream.ProtocolError),
    ],
)
def test_each_status_becomes_an_exception_by_what_the_caller_can_do(
    code: grpc.StatusCode, kind: type[Exception]
) -> None:
    error = _exceptions.from_status(failed(code), "here:1")
    assert type(error) is kind
    assert "here:1" in str(error)
    assert "because" in str(error)


@pytest.mark.parametrize(
    ("pushback", "retry_after"),
    [
        ("0", 0.0),
        ("250", 0.25),
        ("999999999", 60.0),
        ("-1", None),
        ("", None),
        ("1e3", None),
        ("٣", None),
        ("9" * 5000, None),
    ],
)
def test_a_time_to_call_again_tells_a_refusal_that_may_pass_from_a_final_one(
    pushback: str, retry_after: float | None
) -> None:
    trailers = grpc.aio.Metadata(("x", "1"), ("grpc-retry-pushback-ms", pushback))

    def ended(code: grpc.StatusCode) -> inkstream.InkstreamError:
        status = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailers, details="because")
        return _exceptions.from_status(status, "here:1")

    denied = ended(grpc.StatusCode.UNAUTHENTICATED)
    if retry_after is None:
        assert type(denied) is inkstream.AccessDenied
    else:
        assert type(denied) is inkstream.AccessPending
        assert str(denied).endswith("is being changed, so try again soon")
        assert denied.retry_after == retry_after
    overloaded = ended(grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert isinstance(overloaded, inkstream.Overloaded)
    assert overloaded.retry_after == retry_after
    assert is_retried(overloaded) is (retry_after is not None)
    assert type(ended(grpc.StatusCode.PERMISSION_DENIED)) is inkstream.AccessDenied


def test_a_broken_stream_can_be_retried() -> None:
    error = _exceptions.from_status(failed(grpc.StatusCode.UNAVAILABLE), "here:1", opened=True)
    stopped = _exceptions.from_status(failed(grpc.StatusCode.CANCELLED), "here:1")
    assert type(error) is type(stopped) is inkstream.ConnectionLost
    assert isinstance(error, inkstream.RetryableError)


def test_the_error_of_a_broken_stream_gives_no_advice_that_the_client_already_follows() -> None:
    error = _exceptions.from_status(failed(grpc.StatusCode.UNAVAILABLE), "here:1", opened=True)
    assert str(error) == "the stream to here:1 broke (UNAVAILABLE: because)"


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ("ipv6:%5B::1%5D:50051: Connection refused", r"\(ipv6:\[::1\]:50051: Connection refused\)"),
        ("SSL_ERROR_SSL: WRONG_VERSION_NUMBER", "here:1 does not use TLS .*leave out `tls`"),
        (
            "Failed parsing HTTP/2 (... frame type 79)",
            "here:1 is not an inkstream server .*metrics",
        ),
        ("CERTIFICATE_VERIFY_FAILED", "the certificate of here:1 is not trusted"),
    ],
)
def test_the_error_of_an_unreachable_server_names_the_cause(details: str, expected: str) -> None:
    error = _exceptions.unreachable("here:1", details)
    assert type(error) is inkstream.ConnectionFailed
    assert re.search(expected, str(error))


def test_the_error_at_the_metrics_port_names_the_right_port() -> None:
    refused = "ipv6:%5B::1%5D:9464: Connection refused"
    assert "9464 is that of the metrics" in str(_exceptions.unreachable("localhost:9464", refused))
    assert "metrics" not in str(_exceptions.unreachable("localhost:50051", refused))


def test_errors_of_access_name_arguments_and_flags() -> None:
    error = _exceptions.from_status(failed(grpc.StatusCode.UNAUTHENTICATED), "here:1")
    for way in ("`token`", "`--token-file`", "`tls`", "`--tls-cert`"):
        assert way in str(error)


@pytest.mark.parametrize("code", [c for n, c in error_pb2.ErrorCode.items() if c])
def test_every_error_code_of_the_contract_has_an_exception(code: error_pb2.ErrorCode) -> None:
    error = _exceptions.from_item_error(error_pb2.ItemError(sequence=1, code=code, message="why"))
    assert type(error) is not inkstream.ProtocolError
    assert str(error) == "why"


def test_an_item_error_has_its_field_and_retry_after() -> None:
    wrong = _exceptions.from_item_error(
        error_pb2.ItemError(code=error_pb2.ERROR_CODE_INVALID_ARGUMENT, field="tensors.uint8")
    )
    busy = _exceptions.from_item_error(
        error_pb2.ItemError(code=error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED, retry_after_ms=250)
    )
    assert isinstance(wrong, inkstream.InvalidImage)
    assert wrong.field == "tensors.uint8"
    assert isinstance(busy, inkstream.Overloaded)
    assert busy.retry_after == 0.25


def test_an_unknown_error_code_is_named() -> None:
    error = _exceptions.from_item_error(error_pb2.ItemError(sequence=1))
    assert type(error) is inkstream.ProtocolError
    assert "code 0" in str(error)


def test_the_tree_of_exceptions_in_the_docstring_is_correct() -> None:
    drawn = {
        line.split()[1]
        for line in (inkstream.InkstreamError.__doc__ or "").splitlines()
        if line.strip().startswith(("*", "x", "-"))
    }
    elsewhere = (inkstream.InvalidInk, inkstream.tablet.NoTablet)
    defined = {
        value.__name__
        for value in (*vars(_exceptions).values(), *elsewhere)
        if isinstance(value, type) and issubclass(value, _exceptions.InkstreamError)
    }
    assert drawn == defined
    assert defined - {"NoTablet"} <= set(inkstream.__all__)
