"""A small HTTP server in one thread, bounded in connections, bytes and time. Knows no pages.

It is independent of the event loop of the server, so that probes get answers while that loop is busy. It
has room for every newcomer: when it is full, it closes a connection of the address that holds most, the one
that has been idle or unfinished for longest. So callers that hold connections lose them, and probes do not.
"""

from __future__ import annotations

import errno
import selectors
import socket
import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from math import inf
from time import monotonic, thread_time
from typing import Final

from inkstream_server import logs
from inkstream_server.process.budget import Budget
from inkstream_server.process.http_connection import Connection, Phase
from inkstream_server.process.http_request import (
    MOST_HEAD_BYTES,
    Answer,
    Refused,
    Request,
    take_request,
)

MOST_CONNECTIONS: Final = 64
"""Most connections at once. A browser and Prometheus hold one or two each, a probe one for a moment."""

SEND_BUFFER_BYTES: Final = 256 * 1024
"""Bytes of an answer that the kernel may hold for a connection; by default it holds megabytes."""

ENDS: Final = ("crowded", "slow", "malformed")
"""Why the port ends connections: to make room, for taking too long, for sending what is no request."""

EXHAUSTED_PAUSE_SECONDS: Final = 0.05
"""Pause when the process has no descriptor left, and no connection here whose end would free one."""

_ACCEPTS_A_TURN = 16
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

Respond = Callable[[Request], "Answer | Future[Answer]"]
"""Gives the answer to a request, or a future of it. Called in the thread of the port; must not block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How long a connection may take, in seconds."""

    head: float = 10.0
    """From the connection, or from the first byte of a later request, until the request is complete."""
    idle: float = 90.0
    """Between an answer and the next request. Prometheus scrapes every 15 to 60 s."""
    answer: float = 10.0
    """Until an answer is computed."""
    write: float = 20.0
    """Until the caller has read an answer."""
    leave: float = 1.0
    """After an error, to drop what the caller still sends: unread, it makes the kernel drop the answer."""


class HttpPort:
    """Listens on a port and answers requests until it is closed."""

    def __init__(
        self,
        host: str,
        port: int,
        respond: Respond,
        *,
        most_connections: int = MOST_CONNECTIONS,
        times: Times | None = None,
    ) -> None:
        """Bind the port and serve it in a thread.

        Raises:
            OSError: the host or the port cannot be used.
        """
        self._respond = respond
        self._most = most_connections
        self._times = times or Times()
        self._listener = _listener(host, port)
        self.port: int = self._listener.getsockname()[1]
        """The port that it listens on."""
        self.ended: Counter[str] = Counter()
        """Connections that the port ended, by reason, see `ENDS`."""
        self._connections: set[Connection] = set()
        self._answered: deque[tuple[Connection, Future[Answer]]] = deque()
        self._unread: deque[Connection] = deque()
        self._budget = Budget()
        self._closing = threading.Event()
        self._waker, self._wakes = socket.socketpair()
        for end in (self._waker, self._wakes):
            end.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wakes, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="pages", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """Give the number of open connections."""
        return len(self._connections)

    def close(self) -> None:
        """Close the port and all connections."""
        self._closing.set()
        self._wake()
        self._thread.join()

    # ---- The thread ---------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                for key, _ in self._selector.select(self._patience()):
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.fileobj is self._wakes:
                        self._wakes.recv(4096)
                    elif key.data in self._connections:  # Another event may have closed it.
                        self._guarded(key.data, self._turn)
                self._go_on()
                self._end_late()
                self._budget.charge(thread_time(), monotonic())
                if (seconds := self._budget.rest(monotonic())) > 0:
                    self._closing.wait(seconds)
        finally:
            for connection in [*self._connections]:
                self._end(connection)
            self._selector.close()
            for each in (self._listener, self._waker, self._wakes):
                each.close()

    def _go_on(self) -> None:
        """Send answers that were computed, and take requests that were sent ahead."""
        for _ in range(len(self._answered)):
            connection, answer = self._answered.popleft()
            if connection.awaited is answer:
                self._guarded(connection, self._answer_awaited)
        for _ in range(len(self._unread)):
            connection = self._unread.popleft()
            if connection in self._connections and connection.phase is Phase.READING:
                self._guarded(connection, self._advance)

    def _guarded(self, connection: Connection, step: Callable[[Connection], None]) -> None:
        """Do a step of a connection; a fault ends this connection and no other."""
        try:
            step(connection)
        except OSError:
            self._end(connection)  # The caller has gone.
        except Exception as error:  # noqa: BLE001 (the port outlives a fault of a page)
            logs.get().error("page_failed", exc_info=error)
            self._end(connection)

    def _patience(self) -> float | None:
        """Give the seconds until the next deadline."""
        if self._unread:
            return 0.0
        first = min((it.deadline for it in self._connections), default=inf)
        return None if first == inf else max(0.0, first - monotonic())

    def _wake(self) -> None:
        with suppress(OSError):  # Full: it wakes in any case. Closed: nobody is left to wake.
            self._waker.send(b"\0")

    # ---- Connections --------------------------------------------------------------------------------

    def _accept(self) -> None:
        for number in range(_ACCEPTS_A_TURN):
            try:
                accepted, address = self._listener.accept()
            except OSError as error:
                # Without a descriptor `accept` fails even if nobody waits; the first time somebody does.
                if error.errno not in _EXHAUSTED or number > 0:
                    return
                if self._connections:
                    self._make_room()
                    continue
                self._closing.wait(EXHAUSTED_PAUSE_SECONDS)
                return
            while len(self._connections) >= self._most:
                self._make_room()
            accepted.setblocking(False)
            connection = Connection(accepted, address[0])
            connection.enter(Phase.READING, self._times.head)
            self._connections.add(connection)
            self._guarded(connection, self._welcome)

    def _welcome(self, connection: Connection) -> None:
        self._watch(connection, selectors.EVENT_READ)
        # A request mostly arrives with its connection, and no newcomer can then close it unanswered.
        self._turn(connection)

    def _make_room(self) -> None:
        """Close a connection of the address that holds most."""
        held = Counter(it.host for it in self._connections)
        most = max(held.values())
        self._end(
            min(
                (it for it in self._connections if held[it.host] == most),
                key=lambda it: (it.phase, it.since),
            ),
            "crowded",
        )

    def _turn(self, connection: Connection) -> None:
        """Read or write what is possible now."""
        if connection.phase is Phase.WRITING:
            self._write(connection)
            return
        try:
            received = connection.socket.recv(MOST_HEAD_BYTES)
        except BlockingIOError:
            return
        if not received:
            self._end(connection)
        elif connection.phase is Phase.READING:
            if not connection.received:
                connection.enter(Phase.READING, self._times.head)
            connection.received += received
            self._advance(connection)

    def _advance(self, connection: Connection) -> None:
        """Answer the next request, if it is complete."""
        try:
            request = take_request(connection.received)
        except Refused as refused:
            connection.keeps_open = False
            self._begin_answer(connection, refused.answer, "malformed")
            return
        if request is None:
            self._watch(connection, selectors.EVENT_READ)
            return
        connection.keeps_open = request.keeps_open
        connection.hides_body = request.method == "HEAD"
        answer = self._respond(request)
        if isinstance(answer, Answer):
            self._begin_answer(connection, answer)
            return
        connection.awaited = answer
        connection.enter(Phase.WAITING, self._times.answer)
        self._watch(connection, 0)
        answer.add_done_callback(lambda future: self._note_answer(connection, future))

    def _note_answer(self, connection: Connection, answer: Future[Answer]) -> None:
        """Hand an answer over to the thread of the port; called in any thread."""
        self._answered.append((connection, answer))
        self._wake()

    def _answer_awaited(self, connection: Connection) -> None:
        answer, connection.awaited = connection.awaited, None
        assert answer is not None
        if not answer.cancelled():
            self._begin_answer(connection, answer.result())

    def _begin_answer(self, connection: Connection, answer: Answer, reason: str = "") -> None:
        if reason:
            self.ended[reason] += 1
            connection.keeps_open = False
        connection.put(answer)
        connection.enter(Phase.WRITING, self._times.write)
        self._write(connection)

    def _write(self, connection: Connection) -> None:
        if not connection.send():
            self._watch(connection, selectors.EVENT_WRITE)
            return
        if not connection.keeps_open:
            connection.socket.shutdown(socket.SHUT_WR)
            connection.enter(Phase.LEAVING, self._times.leave)
        elif connection.received:  # Requests of others come first.
            connection.enter(Phase.READING, self._times.head)
            self._unread.append(connection)
            self._watch(connection, 0)
            return
        else:
            connection.enter(Phase.READING, self._times.idle)
        self._watch(connection, selectors.EVENT_READ)

    def _end_late(self) -> None:
        """End every connection whose time is over."""
        now = monotonic()
        for late in [it for it in self._connections if it.deadline <= now]:
            is_unfinished = late.phase is Phase.READING and late.received
            if late.phase is Phase.WAITING or is_unfinished:
                self._guarded(late, self._refuse_late)
            else:
                self._end(late, "slow" if late.phase is Phase.WRITING else "")

    def _refuse_late(self, connection: Connection) -> None:
        if connection.awaited is None:
            text = f"send the whole request within {self._times.head:g} s\n"
            answer = Answer(HTTPStatus.REQUEST_TIMEOUT, text.encode())
        else:
            text = f"this page takes longer than {self._times.answer:g} s: try again\n"
            later = (("Retry-After", "5"),)
            answer = Answer(HTTPStatus.SERVICE_UNAVAILABLE, text.encode(), headers=later)
            connection.withdraw()
        self._begin_answer(connection, answer, "slow")

    def _watch(self, connection: Connection, events: int) -> None:
        if connection.watched == events:
            return
        if not events:
            self._selector.unregister(connection.socket)
        elif connection.watched:
            self._selector.modify(connection.socket, events, connection)
        else:
            self._selector.register(connection.socket, events, connection)
        connection.watched = events

    def _end(self, connection: Connection, reason: str = "") -> None:
        if connection not in self._connections:
            return
        if reason:
            self.ended[reason] += 1
        self._connections.discard(connection)
        self._watch(connection, 0)
        connection.close()


def _listener(host: str, port: int) -> socket.socket:
    family, kind, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit both.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        listener.bind(address)
        listener.listen(2 * MOST_CONNECTIONS)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
