"""A peer that uploads on many streams as fast as the server lets it, and that can read nothing itself."""

from __future__ import annotations

import select
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

from hyperframe.frame import (
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.system.hostile.peer import FRAME_BYTES, PREFACE, WINDOW_BYTES, headers


class Uploader:
    """One connection, whose flow control it keeps in both directions."""

    def __init__(self, connection: socket.socket, window: int) -> None:
        self.sent = 0
        """Bytes of messages that were sent."""
        self.ends: Counter[str] = Counter()
        """How the server ended streams: resets and trailers."""
        self.is_disconnected = False
        self._connection = connection
        self._received = bytearray()
        self._out = bytearray()
        self._initial = WINDOW_BYTES
        self._window = WINDOW_BYTES
        self._windows: dict[int, int] = {}
        self._bodies: dict[int, memoryview] = {}
        self._next = 1
        settings = {SettingsFrame.INITIAL_WINDOW_SIZE: window}
        self._out += PREFACE + SettingsFrame(0, settings=settings).serialize()

    def open(self, body: bytes, **fields: str) -> int:
        """Open a stream that is to send `body`, gRPC messages with their prefixes; gives its number."""
        number, self._next = self._next, self._next + 2
        self._out += headers(number, **fields)
        self._windows[number] = self._initial
        self._bodies[number] = memoryview(body)
        return number

    @property
    def waiting(self) -> int:
        """Bytes that could not be sent yet."""
        return sum(map(len, self._bodies.values()))

    def run(self, seconds: float) -> None:
        """Send what the server's windows allow, and read, for so many seconds."""
        end = monotonic() + seconds
        while not self.is_disconnected and (left := end - monotonic()) > 0:
            self._fill()
            readable, writable, _ = select.select(
                [self._connection], [self._connection] if self._out else [], [], min(left, 0.1)
            )
            try:
                if writable:
                    del self._out[: self._connection.send(self._out)]
                if readable:
                    received = self._connection.recv(1 << 18)
                    self.is_disconnected = not received
                    self._received += received
                    self._parse()
            except BlockingIOError:
                continue
            except ConnectionError:
                self.is_disconnected = True

    def _fill(self) -> None:
        for number, body in [*self._bodies.items()]:
            if len(self._out) > 1 << 20:
                return
            size = min(len(body), self._windows[number], self._window, FRAME_BYTES)
            if size <= 0:
                continue
            self._out += DataFrame(number, body[:size].tobytes()).serialize()
            self._windows[number] -= size
            self._window -= size
            self.sent += size
            if len(body) == size:
                del self._bodies[number]
            else:
                self._bodies[number] = body[size:]

    def _parse(self) -> None:
        while len(self._received) >= 9:
            frame, length = Frame.parse_frame_header(memoryview(bytes(self._received[:9])))
            if len(self._received) < 9 + length:
                return
            frame.parse_body(memoryview(bytes(self._received[9 : 9 + length])))
            del self._received[: 9 + length]
            self._note(frame)

    def _note(self, frame: Frame) -> None:
        if isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
            initial = frame.settings.get(SettingsFrame.INITIAL_WINDOW_SIZE, self._initial)
            for number in self._windows:
                self._windows[number] += initial - self._initial
            self._initial = initial
            self._out += SettingsFrame(0, flags=["ACK"]).serialize()
        elif isinstance(frame, WindowUpdateFrame):
            if not frame.stream_id:
                self._window += frame.window_increment
            elif frame.stream_id in self._windows:
                self._windows[frame.stream_id] += frame.window_increment
        elif isinstance(frame, PingFrame) and "ACK" not in frame.flags:
            self._out += PingFrame(0, frame.opaque_data, flags=["ACK"]).serialize()
        elif isinstance(frame, RstStreamFrame):
            self._over(frame.stream_id, "reset")
        elif isinstance(frame, HeadersFrame) and "END_STREAM" in frame.flags:
            self._over(frame.stream_id, "status")

    def _over(self, number: int, how: str) -> None:
        if self._windows.pop(number, None) is not None:
            self.ends[how] += 1
            self._bodies.pop(number, None)


@contextmanager
def uploading(address: str, *, window: int = 0) -> Iterator[Uploader]:
    """Open a connection while the block lasts; `window` is what it lets the server send on a stream."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.setblocking(False)
        yield Uploader(connection, window)


def prefixed(contents: Sequence[bytes]) -> bytes:
    """gRPC messages, each behind its prefix."""
    return b"".join(b"\0" + len(content).to_bytes(4) + content for content in contents)
