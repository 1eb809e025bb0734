"""A peer that sends HTTP/2 frames, valid or not, and records the responses."""

from __future__ import annotations

import socket
import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from hpack import Decoder, Encoder
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
)

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
STREAM: Final = "/inkstream.v1.RecognitionService/StreamRecognize"
FRAME_BYTES: Final = 16_384
WINDOW_BYTES: Final = 65_535
"""Most bytes that may be sent on a connection before the server opens its window."""

_ERRORS: Final = {
    0: "NO_ERROR",
    1: "PROTOCOL_ERROR",
    7: "REFUSED_STREAM",
    8: "CANCEL",
    11: "ENHANCE_YOUR_CALM",
}


class Peer:
    """One connection; `connected` makes it."""

    def __init__(self, connection: socket.socket) -> None:
        self.responses: Counter[str] = Counter()
        """The server's responses by status or error, with counts."""
        self.is_disconnected = False
        self._connection = connection
        self._received = b""
        self._decoder = Decoder()

    def send(self, *frames: bytes) -> None:
        """Send bytes, unless the server has disconnected."""
        try:
            for frame in frames:
                self._connection.sendall(frame)
        except ConnectionError:
            self.is_disconnected = True

    def listen(self, messages: int, seconds: float = 20.0) -> Counter[str]:
        """Read until this many responses came, the server disconnected, or it sends nothing for `seconds`."""
        self._connection.settimeout(seconds)
        try:
            while self.responses.total() < messages and not self.is_disconnected:
                received = self._connection.recv(1 << 16)
                self.is_disconnected = not received
                self._received += received
                self._parse()
        except TimeoutError:
            pass
        except ConnectionError:
            self.is_disconnected = True
        return self.responses

    def _parse(self) -> None:
        while len(self._received) >= 9:
            frame, length = Frame.parse_frame_header(memoryview(self._received[:9]))
            if len(self._received) < 9 + length:
                return
            frame.parse_body(memoryview(self._received[9 : 9 + length]))
            self._received = self._received[9 + length :]
            self._note(frame)

    def _note(self, frame: Frame) -> None:
        if isinstance(frame, PingFrame) and "ACK" not in frame.flags:
            # Otherwise the server disconnects after its ping timeout.
            self.send(PingFrame(0, frame.opaque_data, flags=["ACK"]).serialize())
        elif isinstance(frame, HeadersFrame):
            headers = {str(name): str(value) for name, value in self._decoder.decode(frame.data)}
            if "grpc-status" in headers:
                self.responses[f"grpc-status {headers['grpc-status']}"] += 1
            elif headers.get(":status") != "200":
                self.responses[f"HTTP {headers.get(':status')}"] += 1
        elif isinstance(frame, GoAwayFrame):
            self.responses[f"GOAWAY {_ERRORS.get(frame.error_code, frame.error_code)}"] += 1
        elif isinstance(frame, RstStreamFrame) and frame.error_code:
            self.responses[f"RST_STREAM {_ERRORS.get(frame.error_code, frame.error_code)}"] += 1


@contextmanager
def connected(address: str, *, greets: bool = True) -> Iterator[Peer]:
    """Open a connection while the block lasts.

    Args:
        address: of the server.
        greets: whether it sends preface and settings first, as it should.
    """
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        peer = Peer(connection)
        if greets:
            peer.send(
                PREFACE, SettingsFrame(0).serialize(), SettingsFrame(0, flags=["ACK"]).serialize()
            )
        yield peer


def headers(stream: int, flags: Sequence[str] = ("END_HEADERS",), **fields: str) -> bytes:
    """A HEADERS frame of a call; `fields` are further headers, or other values of the usual ones."""
    usual = {
        ":method": "POST",
        ":scheme": "http",
        ":path": STREAM,
        ":authority": "localhost",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    usual |= fields_named(fields)
    # A new encoder refers to no earlier headers, so that blocks can be sent in any order.
    block = Encoder().encode([*usual.items()], huffman=False)
    frame: bytes = HeadersFrame(stream, block, flags=[*flags]).serialize()
    return frame


def message(
    stream: int, content: bytes, *, compressed: bool = False, length: int | None = None
) -> bytes:
    """DATA frames with one gRPC message; `length` is what its prefix claims, None for the true length."""
    prefix = struct.pack(">BI", compressed, len(content) if length is None else length)
    body = prefix + content
    pieces = (body[at : at + FRAME_BYTES] for at in range(0, len(body), FRAME_BYTES))
    return b"".join(DataFrame(stream, piece).serialize() for piece in pieces)


def fields_named(fields: Mapping[str, str]) -> dict[str, str]:
    """Turn names of arguments into headers: content_type, and path for :path."""
    pseudo = {"method", "path", "scheme", "authority"}
    return {
        f":{name}" if name in pseudo else name.replace("_", "-"): value
        for name, value in fields.items()
    }
