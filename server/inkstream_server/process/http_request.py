"""Reads the head of an HTTP/1 request, and writes answers. Knows bytes, neither sockets nor pages.

No page takes a body, so that a request is its head.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from inkstream_pages import PAGE_HEADERS

MOST_HEAD_BYTES: Final = 8192
"""Most bytes of a request: its first line and its headers."""

MOST_HEAD_LINES: Final = 64
"""Most lines of a request."""

MOST_TARGET_BYTES: Final = 1024
"""Most bytes of the path and the query."""

_FIRST_LINE = re.compile(rb"([A-Z]{1,20}) ([!-~]+) HTTP/(\d)\.(\d)")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*)")


@dataclass(frozen=True, slots=True)
class Request:
    """A request for a page."""

    method: str
    """As sent, in capitals."""
    path: str
    """Without the query, and not decoded."""
    headers: dict[str, str]
    """Values by the name in lower case; values of repeated headers are joined by a comma."""
    keeps_open: bool
    """Whether the caller may send another request over the same connection."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a caller gets."""

    status: int
    body: bytes
    kind: str = "text/plain; charset=utf-8"
    """The content type."""
    headers: tuple[tuple[str, str], ...] = ()
    """Further headers, beside those that every answer has."""

    def head(self, *, keeps_open: bool) -> bytes:
        """Give what precedes the body on the wire."""
        lines = [
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}",
            f"Date: {formatdate(usegmt=True)}",
            f"Content-Type: {self.kind}",
            f"Content-Length: {len(self.body)}",
            f"Connection: {'keep-alive' if keeps_open else 'close'}",
            *(f"{name}: {value}" for name, value in (*PAGE_HEADERS, *self.headers)),
        ]
        return "\r\n".join([*lines, "", ""]).encode("ascii")


class Refused(Exception):
    """A request that cannot be read; the connection cannot be used any longer."""

    def __init__(self, status: HTTPStatus, fix: str) -> None:
        """Take the status, and what the caller should do instead."""
        super().__init__(fix)
        self.answer = Answer(status, fix.encode() + b"\n")


def take_request(received: bytearray) -> Request | None:
    """Take the first request from the front of what a connection sent.

    Returns: the request; None if it is not complete.

    Raises:
        Refused: it is no request, or exceeds a limit.
    """
    while received.startswith(b"\r\n"):  # Some clients end a body with it (RFC 9112, 2.2).
        del received[:2]
    end = received.find(b"\r\n\r\n", 0, MOST_HEAD_BYTES)
    if end < 0:
        if len(received) >= MOST_HEAD_BYTES:
            raise _long_headers() if b"\r\n" in received[:MOST_TARGET_BYTES] else _long_target()
        return None
    first, *rest = bytes(received[:end]).split(b"\r\n")
    del received[: end + 4]
    matched = _FIRST_LINE.fullmatch(first)
    if matched is None:
        raise Refused(HTTPStatus.BAD_REQUEST, "send an HTTP/1.1 request")
    method, target, major, minor = matched.groups()
    if major != b"1":
        raise Refused(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "use HTTP/1.1")
    if len(target) > MOST_TARGET_BYTES:
        raise _long_target()
    if len(rest) >= MOST_HEAD_LINES:
        raise Refused(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"send at most {MOST_HEAD_LINES} lines"
        )
    headers = _headers(rest)
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "send no body")
    wish = headers.get("connection", "").lower()
    return Request(
        method=method.decode("ascii"),
        path=target.partition(b"?")[0].decode("ascii"),
        headers=headers,
        keeps_open="close" not in wish and (minor != b"0" or "keep-alive" in wish),
    )


def _headers(lines: list[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        matched = _HEADER.fullmatch(line)
        if matched is None:
            raise Refused(HTTPStatus.BAD_REQUEST, "send each header as `name: value` on one line")
        name, value = matched[1].decode("ascii").lower(), matched[2].decode("latin-1").strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _long_headers() -> Refused:
    return Refused(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        f"send at most {MOST_HEAD_BYTES} bytes of headers",
    )


def _long_target() -> Refused:
    return Refused(
        HTTPStatus.REQUEST_URI_TOO_LONG, f"send at most {MOST_TARGET_BYTES} bytes of path and query"
    )
