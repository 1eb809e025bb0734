"""One connection of `http_port`: what it does, since when, and until when."""

from __future__ import annotations

import enum
import socket
import struct
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic

from inkstream_server.process.http_request import Answer


class Phase(enum.IntEnum):
    """What a connection does; when the port is full, the lowest is closed first."""

    LEAVING = 0
    READING = 1
    WRITING = 2
    WAITING = 3


@dataclass(slots=True, eq=False)
class Connection:
    """A connection, and what it has received and must send."""

    socket: socket.socket
    host: str
    """The address of the caller."""
    phase: Phase = Phase.READING
    since: float = 0.0
    """When the phase began."""
    deadline: float = 0.0
    """When the phase must be over."""
    received: bytearray = field(default_factory=bytearray)
    awaited: Future[Answer] | None = None
    """The answer that is being computed."""
    hides_body: bool = False
    """Whether the answer is to be sent without its body, for HEAD."""
    keeps_open: bool = True
    """Whether another request may follow the answer."""
    watched: int = 0
    """The events of its socket that the port waits for."""
    _unsent: list[memoryview] = field(default_factory=list)

    def enter(self, phase: Phase, seconds: float) -> None:
        """Begin a phase that may take `seconds`."""
        self.phase, self.since = phase, monotonic()
        self.deadline = self.since + seconds

    def put(self, answer: Answer) -> None:
        """Take an answer, to be sent by `send`."""
        head = answer.head(keeps_open=self.keeps_open)
        body = b"" if self.hides_body else answer.body
        self._unsent = [memoryview(it) for it in (head, body) if it]

    def send(self) -> bool:
        """Send what the kernel takes; gives whether that was the rest.

        Raises:
            OSError: the caller has gone.
        """
        while unsent := self._unsent:
            try:
                sent = self.socket.sendmsg(unsent)
            except BlockingIOError:
                return False
            while unsent and sent >= len(unsent[0]):
                sent -= len(unsent.pop(0))
            if sent:
                unsent[0] = unsent[0][sent:]
        return True

    def withdraw(self) -> None:
        """Wait no longer for an answer that is being computed."""
        if self.awaited is not None:
            awaited, self.awaited = self.awaited, None
            awaited.cancel()

    def close(self) -> None:
        """Close the socket."""
        self.withdraw()
        if self._unsent:  # The kernel would keep what nobody reads.
            with suppress(OSError):
                now = struct.pack("ii", 1, 0)
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
        self.socket.close()
