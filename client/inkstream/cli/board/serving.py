"""Serves the board to browsers: the page, its batches as POSTs, its answers as server-sent events.

Every address begins with a random token, without which nothing is told and nothing is taken; so another page
of the same browser can neither read nor write, by whatever name it reaches this port.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import socket
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from inkstream_command import PAGE_HEADERS, page_policy

from inkstream.cli.board.batches import MOST_BYTES, Malformed, read_batch
from inkstream.cli.board.sheets import NoRoom, Sheet, Sheets

_PAGE = Path(__file__).with_name("board.html").read_bytes()
_POLICY = page_policy(_PAGE)
_MOST_CONNECTIONS = 160
"""At once: a browser opens six for a page at most, and keeps one or two."""
_PATIENCE_SECONDS = 10.0
"""For a browser that says nothing, or does not read."""
_BEAT_SECONDS = 5.0
"""Between signs of life on a stream that has nothing to tell."""
_GRACE_SECONDS = 10.0
"""For a page whose stream broke to come back, until it counts as gone."""
_NAME = re.compile(r"[A-Za-z0-9_-]{16,64}")

_log = logging.getLogger("inkstream")


class BoardServer(ThreadingHTTPServer):
    """The board's side of HTTP. Bound when it is made; `serve_forever` serves."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(
        self, host: str, port: int, sheets: Sheets, greeting: Callable[[], dict[str, Any]]
    ) -> None:
        """Bind, without serving.

        Args:
            host: where to listen.
            port: likewise; 0 for a free one.
            sheets: the pages that are open.
            greeting: what a page is told when its stream begins.

        Raises:
            OSError: the port or the address cannot be had.
        """
        self.token = secrets.token_urlsafe(16)
        self.sheets = sheets
        self.greeting = greeting
        self.grace_seconds = _GRACE_SECONDS
        self._room = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        self.address_family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        super().__init__((host, port), _Handler)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection a thread, or hang up where too many are open."""
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what a connection should not have ended with; that a browser hangs up is as it should be."""
        if not isinstance(sys.exception(), OSError):
            _log.exception("the board failed on a request")


class _Handler(BaseHTTPRequestHandler):
    """One connection of a browser."""

    server: BoardServer
    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE_SECONDS
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """The page, or its answers."""
        match self._asked():
            case "":
                policy = ("Content-Security-Policy", _POLICY)
                self._send(200, _PAGE, "text/html; charset=utf-8", policy)
            case "answers":
                self._with_name(self._follow)
            case "ink" | "leave":
                self._refuse(405, "method", self.command, "use POST", ("Allow", "POST"))
            case _:
                self._not_found()

    def do_POST(self) -> None:
        """What happened on a page."""
        match self._asked():
            case "ink":
                self._with_name(self._write)
            case "leave":
                self._with_name(self._leave)
            case "" | "answers":
                self._refuse(405, "method", self.command, "use GET", ("Allow", "GET"))
            case _:
                self._not_found()

    def _asked(self) -> str | None:
        """What is asked for behind the token; None without that."""
        parts = self.path.partition("?")[0].split("/")
        if len(parts) != 3:
            return None
        _, token, asked = parts
        return asked if secrets.compare_digest(token.encode(), self.server.token.encode()) else None

    def _query(self, name: str) -> str:
        return parse_qs(self.path.partition("?")[2], max_num_fields=8).get(name, [""])[0]

    def _with_name(self, do: Callable[[str], None]) -> None:
        """Go on with the name of the page that asks; say what is wrong with what it sent."""
        try:
            name = self._query("page")
            if not _NAME.fullmatch(name):
                raise Malformed("page", name, "send 16 to 64 letters, digits, _ or -")
            do(name)
        except Malformed as wrong:
            self._refuse(400, wrong.field, wrong.value, wrong.fix)
        except ValueError:  # Of parse_qs.
            self._refuse(400, "query", self.path, "send at most 8 fields")

    # ---- From the page ------------------------------------------------------------------------------

    def _write(self, name: str) -> None:
        body = self._body()
        if body is None:
            return
        batch = read_batch(body)
        sheet = self.server.sheets.find(name)
        if sheet is None:
            self._refuse(404, "page", name, "ask for its answers first: it is not open")
            return
        sheet.write(batch)
        self._send(204)

    def _leave(self, name: str) -> None:
        # What comes with it does not matter, and is not read.
        self.close_connection = True
        if (sheet := self.server.sheets.find(name)) is not None:
            self.server.sheets.close(name, sheet)
        self._send(204)

    def _body(self) -> bytes | None:
        """What was sent; None where it was refused."""
        said = self.headers.get("Content-Length", "")
        if not (said.isascii() and said.isdigit() and len(said) < 16):
            self._refuse(411, "Content-Length", said, "say how many bytes follow")
            return None
        if int(said) > MOST_BYTES:
            self._refuse(413, "Content-Length", said, f"send at most {MOST_BYTES} bytes")
            return None
        body = self.rfile.read(int(said))
        if len(body) < int(said):
            self._refuse(400, "body", f"{len(body)} bytes", f"send the {said} that were announced")
            return None
        return body

    # ---- To the page --------------------------------------------------------------------------------

    def _follow(self, name: str) -> None:
        """Tell a page what comes, until it goes away."""
        after = self._query("after") or "0"
        if not (after.isascii() and after.isdigit() and len(after) < 16):
            raise Malformed("after", after, "send the number of the last answer, or leave it out")
        try:
            sheet, resumed = self.server.sheets.open(name)
        except NoRoom:
            fix = "close one of the other pages: there are as many as may be"
            self._refuse(503, "page", name, fix, ("Retry-After", "3"))
            return
        reader = sheet.mailbox.begin()
        try:
            self._tell_all(sheet, reader, int(after) if resumed else 0, resumed)
        except OSError:
            pass  # The page is gone, or does not read.
        finally:
            self.close_connection = True
            if sheet.mailbox.is_left(reader, self.server.grace_seconds):
                self.server.sheets.close(name, sheet)

    def _tell_all(self, sheet: Sheet, reader: int, after: int, resumed: bool) -> None:
        self.send_response(200)
        for header in (
            *PAGE_HEADERS,
            ("Content-Type", "text/event-stream"),
            ("Connection", "close"),
        ):
            self.send_header(*header)
        self.end_headers()
        hello = {**self.server.greeting(), "batch": sheet.last_batch, "resumed": resumed}
        self._tell("hello", hello)
        while (messages := sheet.mailbox.read(reader, after, _BEAT_SECONDS)) is not None:
            for message in messages:
                self._tell(message.kind, message.body, message.number)
                after = message.number
            if not messages:
                self._tell("beat", {})

    def _tell(self, kind: str, body: dict[str, Any], number: int | None = None) -> None:
        line = "" if number is None else f"id: {number}\n"
        self.wfile.write(f"event: {kind}\n{line}data: {json.dumps(body)}\n\n".encode())

    # ---- Answers of one piece -----------------------------------------------------------------------

    def _not_found(self) -> None:
        self._refuse(404, "address", self.path, "open the address that `inkstream board` printed")

    def _refuse(
        self, status: int, field: str, value: str, fix: str, *headers: tuple[str, str]
    ) -> None:
        # What was sent with it may not have been read, so that nothing can follow it.
        self.close_connection = True
        said = {"error": Malformed(field, value, fix).as_json()}
        body = json.dumps(said).encode() + b"\n"
        self._send(status, body, "application/json", ("Connection", "close"), *headers)

    def _send(
        self, status: int, body: bytes = b"", kind: str = "", *headers: tuple[str, str]
    ) -> None:
        self.send_response(status)
        if kind:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
        for header in (*PAGE_HEADERS, *headers):
            self.send_header(*header)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is not HTTP as it should be, in the way of all else."""
        self.command = self.command or ""
        self._refuse(code, "request", message or "", "send HTTP/1.1 with GET or POST")

    def version_string(self) -> str:
        """Name what answers, and no version of anything."""
        return "inkstream"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named by http.server
        """Say nothing of single requests."""
