"""Calls as bytes that no client of gRPC would send: any header and path, with no library of HTTP/2."""

from __future__ import annotations

import re
import socket
import ssl
import struct
from collections.abc import Iterable
from typing import Final

SERVICE: Final = b"/inkstream.v1.RecognitionService/"
SECONDS: Final = 20.0
"""Longest wait for an answer."""

_DATA, _HEADERS, _SETTINGS, _CONTINUATION = 0, 1, 4, 9
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_FRAME_BYTES = 16_000


class AnyName(ssl.SSLContext):
    """TLS that trusts every server, and sends any name as the one that it wants (SNI)."""

    def __new__(cls) -> AnyName:
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self) -> None:
        self.check_hostname = False
        self.verify_mode = ssl.CERT_NONE
        self.set_alpn_protocols(["h2"])

    def _encode_hostname(self, hostname: str) -> str:
        # Python refuses a label of more than 63 characters.
        return hostname


def raw_call(
    address: str,
    path: bytes = SERVICE + b"StreamRecognize",
    headers: Iterable[tuple[bytes, bytes]] = (),
    body: bytes = b"",
    authority: bytes = b"localhost",
    tls_name: str | None = None,
) -> int | None:
    """Make one call with one message on a connection of its own; return its status, or None without one.

    Args:
        address: of the server.
        path: with the method.
        headers: beside the usual ones.
        body: the message.
        authority: the host that the call is for.
        tls_name: the host that TLS asks for; None for no TLS.
    """
    usual = [
        (b":method", b"POST"),
        (b":scheme", b"http" if tls_name is None else b"https"),
        (b":path", path),
        (b":authority", authority),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
    ]
    message = struct.pack(">BI", 0, len(body)) + body
    with _connection(address, tls_name) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, 0, 0, b""))
        connection.sendall(_frame(_SETTINGS, _ACK, 0, b"") + _headers([*usual, *headers]))
        connection.sendall(_frame(_DATA, _END_STREAM, 1, message))
        return _status(connection)


def raw_bytes(address: str, sent: bytes) -> bytes:
    """Send anything to a port, and return its first answer; empty if it just disconnects."""
    with _connection(address, None) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        try:
            return connection.recv(1 << 16)
        except ConnectionResetError:
            return b""


def _connection(address: str, tls_name: str | None) -> socket.socket:
    host, _, port = address.rpartition(":")
    connection = socket.create_connection((host.strip("[]"), int(port)), SECONDS)
    if tls_name is None:
        return connection
    return AnyName().wrap_socket(connection, server_hostname=tls_name)


def _frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return struct.pack(">I", len(body))[1:] + struct.pack(">BBI", kind, flags, stream) + body


def _headers(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    # Literals that are never indexed: the simplest form of HPACK.
    block = b"".join(b"\x10" + _text(name) + _text(value) for name, value in fields)
    pieces = [block[at : at + _FRAME_BYTES] for at in range(0, len(block), _FRAME_BYTES)]
    return b"".join(
        _frame(_CONTINUATION if number else _HEADERS, flags, 1, piece)
        for number, piece in enumerate(pieces)
        for flags in [_END_HEADERS if number == len(pieces) - 1 else 0]
    )


def _text(text: bytes) -> bytes:
    length, rest = bytearray(), len(text) - 127
    if rest < 0:
        return bytes([len(text)]) + text
    while rest >= 128:
        length.append(rest % 128 + 128)
        rest //= 128
    return bytes([127, *length, rest]) + text


def _status(connection: socket.socket) -> int | None:
    received = b""
    try:
        while chunk := connection.recv(1 << 16):
            received += chunk
            # On a new connection the status is a literal: its length, then its digits.
            if found := re.search(rb"grpc-status[\x01\x02](\d{1,2})", received):
                return int(found[1])
    except ConnectionResetError:
        pass
    return None
