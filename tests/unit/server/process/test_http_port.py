"""The port under callers that hold what they can: connections, time, and answers."""

from __future__ import annotations

import os
import re
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager

import pytest
from inkstream_server.process.http_port import HttpPort, Times
from inkstream_server.process.http_request import Answer, Request

SECONDS = 20.0
"""Longest wait; only a test that fails reaches it."""

Start = Callable[..., HttpPort]


class Pages:
    """Answers `/` at once, `/large` with more than the kernel holds, and `/slow` when the test says so."""

    def __init__(self) -> None:
        self.asked: list[Future[Answer]] = []
        self.has_asked = threading.Semaphore(0)

    def __call__(self, request: Request) -> Answer | Future[Answer]:
        match request.path:
            case "/slow":
                self.asked.append(Future())
                self.has_asked.release()
                return self.asked[-1]
            case "/broken":
                raise ValueError("broken")
            case "/large":
                return Answer(200, bytes(4_000_000))
            case _:
                return Answer(200, request.path.encode())


@pytest.fixture
def pages() -> Pages:
    return Pages()


@pytest.fixture
def start(pages: Pages) -> Iterator[Start]:
    with ExitStack() as running:

        def starts(most_connections: int = 4, **seconds: float) -> HttpPort:
            port = HttpPort(
                "127.0.0.1", 0, pages, most_connections=most_connections, times=Times(**seconds)
            )
            running.callback(port.close)
            return port

        yield starts


def connect(port: HttpPort, sent: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port.port), timeout=SECONDS)
    connection.sendall(sent)
    return connection


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", *headers, "", ""]).encode()


def answer_on(connection: socket.socket) -> tuple[int, bytes]:
    """Read one answer; status 0 if the connection ended without."""
    received = b""
    try:
        while b"\r\n\r\n" not in received:
            more = connection.recv(1)
            if not more:
                return 0, received
            received += more
        length = int(re.findall(rb"Content-Length: (\d+)", received)[0])
        body = b""
        while len(body) < length and (more := connection.recv(length - len(body))):
            body += more
        return int(received[9:12]), body
    except ConnectionError:
        return 0, received


def is_answered(port: HttpPort, path: str = "/probe") -> bool:
    with connect(port, get(path)) as probe:
        return answer_on(probe) == (200, path.encode())


def ended(connection: socket.socket) -> bool:
    """Wait for the end of a connection."""
    try:
        while connection.recv(4096):
            pass
    except ConnectionError:
        pass
    return True


def test_a_connection_takes_one_request_after_the_other(start: Start) -> None:
    with connect(start()) as connection:
        for path in ("/a", "/b"):
            connection.sendall(get(path))
            assert answer_on(connection) == (200, path.encode())


def test_requests_sent_ahead_are_answered_in_order(start: Start, pages: Pages) -> None:
    with connect(start(), get("/a") + get("/slow") + get("/b", "Connection: close")) as connection:
        assert answer_on(connection) == (200, b"/a")
        assert pages.has_asked.acquire(timeout=SECONDS)
        pages.asked[0].set_result(Answer(200, b"slow"))
        assert [answer_on(connection) for _ in range(3)] == [(200, b"slow"), (200, b"/b"), (0, b"")]


def test_a_caller_that_ends_its_side_after_the_request_gets_the_answer(start: Start) -> None:
    with connect(start(), get("/a")) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert answer_on(connection) == (200, b"/a")
        assert ended(connection)


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nname: val", get("/a")], ids=repr)
def test_a_newcomer_is_answered_while_others_hold_all_connections(
    start: Start, sent: bytes
) -> None:
    port = start(most_connections=4)
    with ExitStack() as held:
        holders = [held.enter_context(connect(port, sent)) for _ in range(40)]
        assert all(is_answered(port) for _ in range(5))
        assert len(port) <= 4
        assert port.ended["crowded"] >= 36
        assert ended(holders[0])


def test_a_newcomer_is_answered_while_others_read_nothing(start: Start) -> None:
    port = start(most_connections=4)
    with ExitStack() as held:
        for _ in range(12):
            held.enter_context(connect(port, get("/large")))
        assert all(is_answered(port) for _ in range(5))


def test_a_newcomer_is_answered_while_others_wait_for_a_page(start: Start, pages: Pages) -> None:
    port = start(most_connections=4)
    with ExitStack() as held:
        waiting: list[socket.socket] = []
        for _ in range(4):
            waiting.append(held.enter_context(connect(port, get("/slow"))))
            assert pages.has_asked.acquire(timeout=SECONDS)
        assert all(is_answered(port) for _ in range(5))
        assert [it.cancelled() for it in pages.asked] == [True, False, False, False]
        for asked in pages.asked[1:]:
            asked.set_result(Answer(200, b"slow"))
        assert [answer_on(it) for it in waiting] == [(0, b""), *[(200, b"slow")] * 3]


def test_who_holds_most_makes_room_first(start: Start) -> None:
    port = start(most_connections=4)
    with ExitStack() as held:
        other = socket.socket()
        held.callback(other.close)
        other.settimeout(SECONDS)
        other.bind(("127.0.0.2", 0))
        other.connect(("127.0.0.1", port.port))
        for _ in range(20):
            held.enter_context(connect(port))
        assert is_answered(port)
        other.sendall(get("/other"))
        assert answer_on(other) == (200, b"/other")


def test_an_unfinished_request_is_refused_when_its_time_is_over(start: Start) -> None:
    port = start(head=0.05)
    with connect(port, b"GET / HT") as connection:
        status, text = answer_on(connection)
        assert (status, text) == (408, b"send the whole request within 0.05 s\n")
        assert ended(connection)
    assert port.ended["slow"] == 1


def test_single_bytes_do_not_extend_the_time_for_a_request(start: Start) -> None:
    port = start(head=0.2)
    with connect(port) as connection:
        for byte in get("/a", f"name: {'a' * 4000}"):
            try:
                connection.sendall(bytes([byte]))
            except ConnectionError:
                break
            if threading.Event().wait(0.001) or not len(port):
                break
        assert answer_on(connection)[0] in (0, 408)
    assert port.ended["slow"] == 1


def test_an_idle_connection_is_closed_when_its_time_is_over(start: Start) -> None:
    port = start(idle=0.05)
    with connect(port, get("/a")) as connection:
        assert answer_on(connection)[0] == 200
        assert ended(connection)
    assert not port.ended


def test_a_silent_connection_is_closed_without_an_answer(start: Start) -> None:
    with connect(start(head=0.05)) as connection:
        assert answer_on(connection) == (0, b"")


def test_a_caller_that_does_not_read_is_ended(start: Start) -> None:
    port = start(write=0.05)
    with connect(port, get("/large")) as connection:
        status, body = answer_on(connection) if ended_after(port, "slow") else (200, b"")
        assert len(body) < 4_000_000, status


def ended_after(port: HttpPort, reason: str) -> bool:
    """Wait until the port has ended a connection for this reason."""
    for _ in range(4000):
        if port.ended[reason]:
            return True
        threading.Event().wait(0.005)
    return False


def test_a_page_that_takes_too_long_is_refused(start: Start, pages: Pages) -> None:
    port = start(answer=0.05)
    with connect(port, get("/slow")) as connection:
        status, text = answer_on(connection)
        assert (status, text) == (503, b"this page takes longer than 0.05 s: try again\n")
    assert pages.asked[0].cancelled()
    assert is_answered(port)


def test_a_refusal_arrives_although_more_was_sent(start: Start) -> None:
    with connect(start()) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nname: " + b"a" * 60_000)
        assert answer_on(connection)[0] == 431


def test_a_fault_of_a_page_ends_its_connection_and_no_other(start: Start) -> None:
    port = start()
    with connect(port, get("/broken")) as connection:
        assert answer_on(connection) == (0, b"")
    assert is_answered(port)


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Let the process open nothing while the block runs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_a_descriptor_a_newcomer_takes_that_of_another_connection(start: Start) -> None:
    port = start()
    with connect(port, get("/a")) as holder, socket.socket() as newcomer:
        assert answer_on(holder)[0] == 200
        newcomer.settimeout(SECONDS)
        with no_descriptors():
            newcomer.connect(("127.0.0.1", port.port))
            newcomer.sendall(get("/b"))
            assert answer_on(newcomer) == (200, b"/b")
            assert ended(holder)
    assert port.ended["crowded"] == 1


def test_without_any_descriptor_a_newcomer_waits_for_one(start: Start) -> None:
    port = start()
    with socket.socket() as newcomer:
        newcomer.settimeout(SECONDS)
        with no_descriptors():
            newcomer.connect(("127.0.0.1", port.port))
            newcomer.sendall(get("/b"))
            newcomer.settimeout(0.2)
            with pytest.raises(TimeoutError):
                newcomer.recv(1)
        newcomer.settimeout(SECONDS)
        assert answer_on(newcomer) == (200, b"/b")


def test_a_closed_port_ends_all_connections(start: Start, pages: Pages) -> None:
    port = start()
    with connect(port) as silent, connect(port, get("/slow")) as waiting:
        assert pages.has_asked.acquire(timeout=SECONDS)
        port.close()
        assert ended(silent)
        assert ended(waiting)
    with pytest.raises(ConnectionError):
        connect(port)
