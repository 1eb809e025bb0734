"""The board with a real server: ink arrives by HTTP, answers leave as server-sent events."""

from __future__ import annotations

import http.client
import json
import re
import socket
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from inkstream.ink import Ink

from tests.integration.boards import RunningBoard, placed, real_digits, running_board
from tests.integration.conftest import RunningServer, StartServer


class Page:
    """Does over HTTP what the page does in a browser."""

    def __init__(self, board: RunningBoard, name: str) -> None:
        self._where = urlsplit(board.address)
        self._name = f"{name}-of-sixteen-letters"
        self._batches = count(1)
        self._strokes = count(1)
        self._stream = self._ask("GET", "answers")
        assert self._stream.status == 200
        self.hello = self.next("hello")

    def _ask(self, method: str, what: str, body: str | None = None) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(self._where.netloc, timeout=60)
        connection.request(method, f"{self._where.path}{what}?page={self._name}", body)
        return connection.getresponse()

    def next(self, kind: str) -> dict[str, Any]:
        """The next event of a kind."""
        found = ""
        while line := self._stream.readline().decode():
            key, _, value = line.strip().partition(": ")
            if key == "event":
                found = value
            elif key == "data" and found == kind:
                return dict(json.loads(value))
        raise AssertionError(f"the stream ended before a {kind!r}")

    def say(self, *events: dict[str, Any]) -> None:
        body = json.dumps({"batch": next(self._batches), "events": events})
        answer = self._ask("POST", "ink", body)
        assert answer.status == 204, answer.read()

    def write(self, ink: Ink, left: float) -> list[int]:
        """Write a digit; gives the numbers of its strokes."""
        numbers = []
        for points in placed(ink, left, 50, 100):
            numbers.append(next(self._strokes))
            rows = [[*point, 10.0 * place, 0.5] for place, point in enumerate(points.tolist())]
            self.say({"do": "down", "stroke": numbers[-1], "points": rows[:1]})
            if rows[1:]:
                self.say({"do": "move", "points": rows[1:]})
            self.say({"do": "up"})
        return numbers

    def final(self) -> dict[str, Any]:
        while (answer := self.next("answer"))["state"] != "final":
            pass
        return answer


def test_real_digits_are_answered_provisionally_and_finally(server: RunningServer) -> None:
    inks = real_digits("0123456789")
    with running_board(server.address) as board:
        page = Page(board, "one")
        assert page.hello["server"] == {"state": "ready"}
        assert page.hello["model"].startswith("digits/")
        read = []
        for place, ink in enumerate(inks):
            strokes = page.write(ink, 150 * place)
            answer = page.next("answer")
            assert answer["state"] == "provisional"
            assert answer["strokes"] == strokes[: len(answer["strokes"])]
            answer = page.final()
            assert answer["strokes"] == strokes
            read.append(answer["digit"] if answer["word"] is None else None)
        assert sum(a == b for a, b in zip(read, range(10), strict=True)) >= 9


def test_pages_share_a_stream_and_each_takes_back_its_own_strokes(
    server: RunningServer,
) -> None:
    three, eight = real_digits("38")
    with running_board(server.address) as board:
        one, two = Page(board, "one"), Page(board, "two")
        one.say({"do": "down", "stroke": 99, "points": [[0, 0, 0, 0.5], [300, 9, 9, 0.5]]})
        two.write(eight, 0)
        one.say({"do": "up"}, {"do": "erase", "stroke": 99})
        one.write(three, 0)
        assert two.final()["digit"] == 8
        answers = [one.next("answer")]
        while answers[-1]["state"] != "final" or not answers[-1]["strokes"]:
            answers.append(one.next("answer"))
        assert answers[-1]["digit"] == 3
        assert server.metrics().value("inkstream_client_streams", client="board") == 1


def test_a_stopped_server_is_reported_and_ink_waits_for_the_next(start_server: StartServer) -> None:
    server = start_server()
    (five,) = real_digits("5")
    with running_board(server.address) as board:
        page = Page(board, "one")
        page.write(five, 0)
        assert page.final()["digit"] == 5
        server.signal()
        server.wait()
        assert page.next("server")["state"] == "gone"
        strokes = page.write(five, 200)
        start_server("--port", server.address.rpartition(":")[2])
        assert page.next("server") == {"state": "ready"}
        answer = page.final()
        assert (answer["digit"], answer["strokes"]) == (5, strokes)


def test_ctrl_c_ends_it_while_pages_are_open(server: RunningServer) -> None:
    with running_board(server.address) as board:
        page = Page(board, "one")
        page.say({"do": "down", "stroke": 1, "points": np.ones((3, 4)).tolist()})
        code, output = board.interrupt()
        assert code == 130
        assert "Traceback" not in output
        assert output.endswith("Interrupted.\n")


def test_without_a_server_it_starts_and_stops_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INKSTREAM_SERVER", raising=False)
    (ink,) = real_digits("7")
    with running_board(None) as board:
        page = Page(board, "one")
        page.write(ink, 0)
        assert page.final()["digit"] == 7
        code, output = board.interrupt()
        assert code == 130
    (port,) = re.findall(r" at 127\.0\.0\.1:(\d+); Ctrl-C ends", output)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(port)), timeout=5)
