from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inkstream_server.process.http_request import (
    MOST_HEAD_BYTES,
    MOST_HEAD_LINES,
    MOST_TARGET_BYTES,
    Answer,
    Refused,
    take_request,
)

GET = b"GET /metrics?a=b HTTP/1.1\r\nHost: a\r\nAccept: x\r\naccept:  y \r\n\r\n"


def status_of(sent: bytes) -> int:
    with pytest.raises(Refused) as refused:
        take_request(bytearray(sent))
    assert str(refused.value).encode() + b"\n" == refused.value.answer.body
    return refused.value.answer.status


def test_a_request_is_taken_once_all_of_it_is_there_and_the_next_one_stays() -> None:
    received = bytearray()
    for byte in GET[:-1]:
        received.append(byte)
        assert take_request(received) is None
    received += GET[-1:] + b"GET"
    request = take_request(received)
    assert request is not None
    assert (request.method, request.path) == ("GET", "/metrics")
    assert request.headers == {"host": "a", "accept": "x, y"}
    assert received == b"GET"


@pytest.mark.parametrize(
    ("line", "connection", "keeps_open"),
    [
        (b"GET / HTTP/1.1", b"", True),
        (b"GET / HTTP/1.1", b"Connection: Close", False),
        (b"GET / HTTP/1.0", b"", False),
        (b"GET / HTTP/1.0", b"connection: Keep-Alive", True),
    ],
)
def test_a_connection_stays_open_as_the_version_and_the_caller_say(
    line: bytes, connection: bytes, keeps_open: bool
) -> None:
    headers = connection + b"\r\n" if connection else b""
    request = take_request(bytearray(b"\r\n" + line + b"\r\n" + headers + b"\r\n"))
    assert request is not None
    assert request.keeps_open is keeps_open


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01 hello\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\n\r\n", 400),
        (b"get / HTTP/1.1\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nname\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nname : value\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nname: folded\r\n line\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nname: bare\nline: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nname: nul\0\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\n", 505),
        (b"GET /" + b"a" * MOST_TARGET_BYTES + b" HTTP/1.1\r\n\r\n", 414),
        (b"G" * MOST_HEAD_BYTES, 414),
        (b"GET / HTTP/1.1\r\nname: " + b"a" * MOST_HEAD_BYTES, 431),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * MOST_HEAD_LINES + b"\r\n", 431),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 7\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 413),
    ],
)
def test_what_is_no_request_or_too_long_is_refused_with_the_fix(sent: bytes, status: int) -> None:
    assert status_of(sent) == status


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_are_a_request_or_refused_or_unfinished(before: bytes, after: bytes) -> None:
    received = bytearray(b"GET /" + before + b" HTTP/1.1\r\n" + after + b"\r\n\r\n")
    try:
        request = take_request(received)
    except Refused as refused:
        assert 400 <= refused.answer.status < 600
    else:
        assert request is None or request.path.startswith("/")


def test_the_head_of_an_answer_has_the_headers_of_every_page() -> None:
    head = Answer(404, b"no\n", headers=(("Allow", "GET"),)).head(keeps_open=False).decode()
    lines = head.split("\r\n")
    assert lines[0] == "HTTP/1.1 404 Not Found"
    assert {"Content-Length: 3", "Connection: close", "Allow: GET"} < {*lines}
    assert "X-Content-Type-Options: nosniff" in lines
    assert head.endswith("\r\n\r\n")
