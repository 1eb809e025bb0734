"""Frames of HTTP/2 as bytes, for callers that no library would be. Needs no package."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

DATA: Final = 0
HEADERS: Final = 1
SETTINGS: Final = 4
END_STREAM: Final = 1
ACK: Final = 1
END_HEADERS: Final = 4
INITIAL_WINDOW: Final = 4
"""The setting that says how many bytes a stream may be sent before its receiver asks for more."""

RECOGNIZE: Final = b"/inkstream.v1.RecognitionService/Recognize"
STREAM: Final = b"/inkstream.v1.RecognitionService/StreamRecognize"
CHECK: Final = b"/grpc.health.v1.Health/Check"
WATCH: Final = b"/grpc.health.v1.Health/Watch"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Give one frame."""
    return len(payload).to_bytes(3) + struct.pack(">BBI", kind, flags, stream) + payload


def call(stream: int, path: bytes, extra: Mapping[bytes, bytes] | None = None) -> bytes:
    """Give the headers of a call, each field a literal that HPACK does not put into its table."""
    fields = {
        b":method": b"POST",
        b":scheme": b"http",
        b":path": path,
        b":authority": b"localhost",
        b"content-type": b"application/grpc",
        b"te": b"trailers",
        **(extra or {}),
    }
    block = b"".join(
        b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value
        for name, value in fields.items()
    )
    return frame(HEADERS, END_HEADERS, stream, block)


def message(stream: int, content: bytes, *, length: int | None = None) -> bytes:
    """Give a gRPC message in one frame; `length` is what its prefix claims, None for the true length."""
    claimed = len(content) if length is None else length
    return frame(DATA, 0, stream, struct.pack(">BI", 0, claimed) + content)


@contextmanager
def connected(address: str, *, window: int = 65_535) -> Iterator[socket.socket]:
    """Keep a connection open that has said hello.

    Args:
        address: of the server.
        window: bytes that the server may send on each stream.
    """
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        settings = struct.pack(">HI", INITIAL_WINDOW, window)
        connection.sendall(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + frame(SETTINGS, 0, 0, settings)
            + frame(SETTINGS, ACK, 0)
        )
        yield connection


def read_until(connection: socket.socket, wanted: bytes) -> bytes:
    """Read until the server has sent these bytes; gives all that was read."""
    received = b""
    while wanted not in received:
        more = connection.recv(1 << 16)
        assert more, f"the server disconnected before it sent {wanted!r}: {received!r}"
        received += more
    return received
