"""A minimal HTTP/2 client: as much of it as one gRPC stream a connection needs.

grpc.aio takes longer for a message than the server does, so it would measure itself. Here a message costs
one system call: messages are framed before the clock starts, and answers are kept with their time and
decoded after it has stopped.
"""

import select
import socket
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter

from benchmarks.load.bodies import CONFIG, PATH, framed

ANSWER_WITHIN_SECONDS = 30.0
"""A server that sends nothing for this long has failed."""
OPEN_AT_ONCE = 200
"""Streams; with gRPC's defaults (max_pending_requests) a floor rejects some of a thousand."""

# RFC 9113, section 6; all streams here have number 1.
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 0x1, 0x1, 0x4
_INITIAL_WINDOW_SIZE = 4
_DEFAULT_WINDOW, _LARGEST_WINDOW = 2**16 - 1, 2**31 - 1
_LARGEST_FRAME = 2**14
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


_HEADER = struct.Struct(">IBI")
"""Length (24 bits) and kind of a frame, its flags, its stream."""
_LARGEST_WRITE = 2**16


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return _HEADER.pack(len(payload) << 8 | kind, flags, stream) + payload


def frames(message: bytes) -> list[bytes]:
    """Split a message into DATA frames."""
    body = framed(message)
    cuts = range(0, len(body), _LARGEST_FRAME)
    return [_frame(_DATA, 0, 1, body[cut : cut + _LARGEST_FRAME]) for cut in cuts]


HALF_CLOSE = [_frame(_DATA, _END_STREAM, 1, b"")]
"""The empty frame that ends the client's side."""


def _text(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def _opening(address: str) -> bytes:
    """Build all that precedes the first message: settings, a window for all answers, the call's headers."""
    # HPACK (RFC 7541): indexed fields of the static table, then literals without indexing.
    block = b"\x83\x86" + b"\x04" + _text(PATH) + b"\x01" + _text(address)
    block += b"\x0f\x10" + _text("application/grpc") + b"\x00" + _text("te") + _text("trailers")
    return b"".join(
        [
            _PREFACE,
            _frame(_SETTINGS, 0, 0, struct.pack(">HI", _INITIAL_WINDOW_SIZE, _LARGEST_WINDOW)),
            _frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", _LARGEST_WINDOW - _DEFAULT_WINDOW)),
            _frame(_HEADERS, _END_HEADERS, 1, block),
        ]
    )


class Stream:
    """One `StreamRecognize` call on a connection of its own."""

    def __init__(self, address: str) -> None:
        """Connect and send the configuration; `open_streams` awaits the answer."""
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self.received: list[tuple[float, bytes]] = []
        """Messages and when they were read, by `time.perf_counter`."""
        self.has_ended = False
        """Whether the server has ended the stream."""
        self.trailers = b""
        """The trailers, still encoded by HPACK; errors show them."""
        self._outgoing: deque[bytes] = deque()
        self._unsent = _opening(address)
        self._stream_room = self._connection_room = self._window = _DEFAULT_WINDOW
        self._incoming = b""
        self._message = b""
        self.put(frames(CONFIG))

    def fileno(self) -> int:
        """Return the socket's descriptor, for `select`."""
        return self._socket.fileno()

    @property
    def is_sent(self) -> bool:
        """Whether flow control and the socket have taken all that was put."""
        return not self._outgoing and not self._unsent

    def close(self) -> None:
        """Close the connection, whatever is in flight."""
        self._socket.close()

    def put(self, data_frames: Sequence[bytes]) -> None:
        """Send as many frames as flow control allows, the rest later."""
        self._outgoing.extend(data_frames)
        self._flush()

    def take(self) -> None:
        """Read what has arrived.

        Raises:
            RuntimeError: the server reset the stream or closed the connection.
        """
        try:
            received = self._socket.recv(2**18)
        except BlockingIOError:
            return
        if not received:
            raise RuntimeError("the server closed the connection")
        now, read, at = perf_counter(), self._incoming + received, 0
        while len(read) - at >= _HEADER.size:
            first, flags, stream = _HEADER.unpack_from(read, at)
            end = at + _HEADER.size + (first >> 8)
            if end > len(read):
                break
            self._arrived(first & 0xFF, flags, stream, read[at + _HEADER.size : end], now)
            at = end
        self._incoming = read[at:]
        self._flush()

    def _arrived(self, kind: int, flags: int, stream: int, payload: bytes, now: float) -> None:
        """Handle one frame from the server."""
        if kind == _DATA:
            self._message += payload
            while (end := 5 + int.from_bytes(self._message[1:5])) <= len(self._message):
                self.received.append((now, self._message[5:end]))
                self._message = self._message[end:]
        elif kind == _WINDOW_UPDATE:
            if stream:
                self._stream_room += int.from_bytes(payload)
            else:
                self._connection_room += int.from_bytes(payload)
        elif kind == _SETTINGS and not flags & _ACK:
            for setting, value in struct.iter_unpack(">HI", payload):
                if setting == _INITIAL_WINDOW_SIZE:
                    self._stream_room += value - self._window
                    self._window = value
            self._unsent += _frame(_SETTINGS, _ACK, 0, b"")
        elif kind == _PING and not flags & _ACK:
            self._unsent += _frame(_PING, _ACK, 0, payload)
        elif kind in {_RST_STREAM, _GOAWAY} and not self.has_ended:
            raise RuntimeError(f"the server reset the stream: {payload!r}")
        if kind in {_DATA, _HEADERS} and flags & _END_STREAM:
            self.has_ended = True
            self.trailers = payload

    def _flush(self) -> None:
        while True:
            if not self._unsent:
                room = min(self._stream_room, self._connection_room)
                size = 0
                while self._outgoing and size + len(self._outgoing[0]) <= min(room, _LARGEST_WRITE):
                    frame = self._outgoing.popleft()
                    size += len(frame) - _HEADER.size
                    self._unsent += frame
                if not self._unsent:
                    return
                self._stream_room -= size
                self._connection_room -= size
            try:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
            except BlockingIOError:
                return


@contextmanager
def open_streams(address: str, count: int) -> Iterator[list[Stream]]:
    """Open `count` streams and await the answer to each configuration."""
    streams: list[Stream] = []
    try:
        while len(streams) < count:
            group = [Stream(address) for _ in range(min(OPEN_AT_ONCE, count - len(streams)))]
            streams += group
            listener = Listener(group)
            while waiting := [stream for stream in group if not stream.received]:
                listener.listen(1.0)
                if any(stream.has_ended for stream in waiting):
                    raise RuntimeError(f"a stream was refused: {waiting[0].trailers!r}")
        for stream in streams:
            stream.received.clear()
        yield streams
    finally:
        for stream in streams:
            stream.close()


class Listener:
    """Reads all streams that have data."""

    def __init__(self, streams: Sequence[Stream]) -> None:
        """Watch `streams`."""
        self._streams = {stream.fileno(): stream for stream in streams}
        self._poll = select.epoll()
        self._heard_at = perf_counter()
        for number in self._streams:
            self._poll.register(number, select.EPOLLIN)

    def listen(self, seconds: float) -> None:
        """Read what is there, or what comes within `seconds`.

        Raises:
            RuntimeError: nothing came for ANSWER_WITHIN_SECONDS.
        """
        events = self._poll.poll(seconds)
        for number, _ in events:
            stream = self._streams[number]
            stream.take()
            if stream.has_ended:
                self._poll.unregister(number)
        now = perf_counter()
        if events:
            self._heard_at = now
        elif now - self._heard_at > ANSWER_WITHIN_SECONDS:
            raise RuntimeError(f"no answer within {ANSWER_WITHIN_SECONDS:g} s")
