"""The board's HTTP interface with real pens, without a server."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from inkstream.cli.board.batches import MOST_BYTES
from inkstream.cli.board.serving import BoardServer
from inkstream.cli.board.sheets import Sheets
from inkstream.v1 import ink_pb2

from tests.unit.client.pens.test_pens import Desk, kinds

PAGE = "page-of-sixteen-letters"
STROKE = [
    {"do": "down", "stroke": 5, "points": [[1, 1, 1, 0.5], [9, 9, 9, 0.5]]},
    {"do": "up"},
]


@dataclass
class Board:
    desk: Desk
    server: BoardServer

    def ask(
        self,
        path: str,
        body: bytes | None = None,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        token: str | None = None,
    ) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
        method = method or ("GET" if body is None else "POST")
        token = self.server.token if token is None else token
        connection.request(method, f"/{token}/{path}", body, headers or {})
        return connection.getresponse()

    def write(self, number: int = 1, events: Any = STROKE, page: str = PAGE) -> int:
        body = json.dumps({"batch": number, "events": events}).encode()
        return self.ask(f"ink?page={page}", body).status

    def follow(self, page: str = PAGE, after: int = 0) -> Stream:
        return Stream(self.ask(f"answers?page={page}&after={after}"))


@dataclass
class Stream:
    """The events of a page's stream."""

    answer: http.client.HTTPResponse

    def __post_init__(self) -> None:
        assert self.answer.status == 200
        assert self.answer.headers["Content-Type"] == "text/event-stream"

    def next(self) -> tuple[str, dict[str, Any], int]:
        """Kind, body and number of the next event; ("", {}, 0) at the end."""
        fields = {"event": "", "data": "{}", "id": "0"}
        while (line := self.answer.readline()) not in (b"\n", b""):
            key, _, value = line.decode().strip().partition(": ")
            fields[key] = value
        return fields["event"], json.loads(fields["data"]), int(fields["id"])

    def close(self) -> None:
        self.answer.close()


@pytest.fixture
def board() -> Iterator[Board]:
    desk = Desk()
    sheets = Sheets(lambda on_result: desk.pen(on_result, units="px"), most=2)
    greeting = {"model": "digits/3", "server": {"state": "ready"}}
    with BoardServer("127.0.0.1", 0, sheets, lambda: greeting) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield Board(desk, server)
        server.shutdown()
        serving.join()


def error_of(answer: http.client.HTTPResponse) -> dict[str, str]:
    fields = json.loads(answer.read())
    assert set(fields) == {"error"}
    assert set(fields["error"]) == {"field", "value", "fix"}
    return dict(fields["error"])


def test_the_page_is_self_contained(board: Board) -> None:
    answer = board.ask("")
    html = answer.read().decode()
    assert answer.status == 200
    outside = [
        it for it in re.findall(r"""(?:src|href|url\()=?["']?([^"' >]+)""", html) if ":" in it
    ]
    assert all(it.startswith("data:") for it in outside), outside
    rules = dict(
        rule.split(" ", 1) for rule in answer.headers["Content-Security-Policy"].split("; ")
    )
    assert rules["default-src"] == rules["frame-ancestors"] == "'none'"
    assert rules["connect-src"] == "'self'"
    for kind in ("script-src", "style-src"):
        assert re.fullmatch(r"'sha256-[\w+/]{43}='", rules[kind])
    assert answer.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("token", ["", "guess", "t" * 22, "%00", "é"])
@pytest.mark.parametrize("path", ["", f"answers?page={PAGE}", f"ink?page={PAGE}"])
def test_without_the_token_the_board_answers_nothing(board: Board, token: str, path: str) -> None:
    token = token.encode().decode("latin-1")
    board.follow()
    body = b'{"batch": 1, "events": [{"do": "clear"}]}' if path.startswith("ink") else None
    with socket.create_connection(("127.0.0.1", board.server.port), timeout=10) as raw:
        method = "GET" if body is None else "POST"
        head = f"{method} /{token}/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        raw.sendall(head.encode("latin-1") + b"Content-Length: %d\r\n\r\n" % len(body or b""))
        raw.sendall(body or b"")
        answer = b"".join(iter(lambda: raw.recv(4096), b""))
    assert b" 404 " in answer.partition(b"\r\n")[0]
    assert b"inkstream board" in answer
    assert board.server.token.encode() not in answer
    assert board.desk.sent() == []


def test_strokes_are_answered_on_the_stream_of_their_page(board: Board) -> None:
    stream = board.follow()
    kind, hello, _ = stream.next()
    assert (kind, hello["resumed"], hello["batch"]) == ("hello", False, 0)
    assert (hello["model"], hello["server"]) == ("digits/3", {"state": "ready"})
    assert board.write() == 204
    assert "stroke_end" in kinds(board.desk.sent())
    board.desk.answer(1, [1], ink_pb2.GLYPH_STATE_PROVISIONAL)
    board.desk.answer(1, [1])
    assert [stream.next()[1]["state"] for _ in range(2)] == ["provisional", "final"]


def test_a_broken_stream_resumes_where_it_was(board: Board) -> None:
    first = board.follow()
    first.next()
    board.write(1)
    board.desk.sent()
    board.desk.answer(1, [1], ink_pb2.GLYPH_STATE_PROVISIONAL)
    assert first.next()[2] == 1
    board.desk.answer(1, [1])
    second = board.follow(after=1)
    kind, hello, _ = second.next()
    assert (kind, hello["resumed"], hello["batch"]) == ("hello", True, 1)
    assert second.next()[1]["state"] == "final"
    assert board.write(1) == 204, "a batch that was accepted already"
    assert board.desk.sent() == []


def test_a_page_that_closes_closes_its_pen_and_makes_room(board: Board) -> None:
    for name in ("one", "two"):
        board.follow(name + PAGE).next()
    full = board.ask(f"answers?page=three{PAGE}")
    assert (full.status, full.headers["Retry-After"]) == (503, "3")
    assert error_of(full)["field"] == "page"
    board.write(page="one" + PAGE)
    assert board.ask(f"leave?page=one{PAGE}", b"").status == 204
    assert kinds(board.desk.sent())[-1] == "close"
    assert board.follow("three" + PAGE).next()[0] == "hello"
    assert board.write(2, page="one" + PAGE) == 404


def test_a_page_that_vanishes_closes_its_pen(board: Board) -> None:
    board.server.grace_seconds = 0.0
    stream = board.follow()
    stream.next()
    board.write()
    closed = threading.Event()
    sheet = board.server.sheets.find(PAGE)
    assert sheet is not None
    close = sheet.close

    def close_and_say() -> None:
        close()
        closed.set()

    sheet.close = close_and_say  # type: ignore[method-assign]
    stream.close()
    # The second write to a connection that is closed fails.
    while not closed.wait(0.01):
        sheet.mailbox.put("server", {})
    assert kinds(board.desk.sent())[-1] == "close"


def test_an_invalid_request_is_rejected_and_harms_no_page(board: Board) -> None:
    stream = board.follow()
    stream.next()
    for body in (b"{", b"[]", b'{"batch": 1, "events": [{"do": "fly"}]}'):
        answer = board.ask(f"ink?page={PAGE}", body)
        assert answer.status == 400
        assert error_of(answer)["fix"]
    assert board.write() == 204
    board.desk.sent()
    board.desk.answer(1, [1])
    assert stream.next()[0] == "answer"


@pytest.mark.parametrize("page", ["", "short", "x" * 65, "with%20space%20of%20letters"])
def test_a_page_needs_a_name(board: Board, page: str) -> None:
    answer = board.ask(f"answers?page={page}")
    assert (answer.status, error_of(answer)["field"]) == (400, "page")


@pytest.mark.parametrize("after", ["-1", "x", "9" * 17, "%D9%A3"])
def test_a_stream_begins_after_a_number(board: Board, after: str) -> None:
    answer = board.ask(f"answers?page={PAGE}&after={after}")
    assert (answer.status, error_of(answer)["field"]) == (400, "after")


def test_a_body_is_bounded_and_needs_its_length(board: Board) -> None:
    board.follow()
    where = f"ink?page={PAGE}"
    large = board.ask(where, headers={"Content-Length": str(MOST_BYTES + 1)}, method="POST")
    assert (large.status, error_of(large)["field"]) == (413, "Content-Length")
    endless = {"Transfer-Encoding": "chunked"}
    assert board.ask(where, method="POST", headers=endless).status == 411
    for length in ("-1", "one", "9" * 40):
        assert board.ask(where, method="POST", headers={"Content-Length": length}).status == 411


def test_other_methods_are_rejected_in_json(board: Board) -> None:
    for path, method, allowed in (("", "POST", "GET"), (f"ink?page={PAGE}", "GET", "POST")):
        answer = board.ask(path, b"" if method == "POST" else None, method)
        assert (answer.status, answer.headers["Allow"]) == (405, allowed)
        assert error_of(answer)["field"] == "method"
    assert error_of(board.ask("", method="DELETE"))["field"] == "request"
    assert board.ask("?" + "&a=1" * 20).status == 200
    assert board.ask("answers?" + "&a=1" * 20).status == 400
    with socket.create_connection(("127.0.0.1", board.server.port), timeout=10) as raw:
        raw.sendall(b"nonsense\r\n\r\n")
        assert b'{"error": ' in raw.recv(4096)
