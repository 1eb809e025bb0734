"""Serves the board to browsers: the page, its batches as POSTs, its answers as server-sent events.

Every path begins with a random token, and the board answers nothing without it. So other pages of the same
browser can neither read nor write, whichever host name they use.
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

from inkstream_pages import PAGE_HEADERS, page_policy

from inkstream.cli.board.batches import MOST_BYTES, Malformed, read_batch
from inkstream.cli.board.sheets import NoRoom, Sheet, Sheets

_PAGE = Path(__file__).with_name("board.html").read_bytes()
_POLICY = page_policy(_PAGE)
_MOST_CONNECTIONS = 160
"""Connections at once, at most. A browser opens at most six for a page and keeps one or two."""
_TIMEOUT_SECONDS = 10.0
"""Timeout of a browser that sends nothing or does not read."""
_HEARTBEAT_SECONDS = 5.0
"""Time between heartbeats on an idle stream."""
_GRACE_SECONDS = 10.0
"""Time in which a page may reconnect after its stream broke; then it is closed."""
_NAME = re.compile(r"[A-Za-z0-9_-]{16,64}")

_log = logging.getLogger("inkstream")


class BoardServer(ThreadingHTTPServer):
    """The HTTP server of the board. The constructor binds it; `serve_forever` serves."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(
        self, host: str, port: int, sheets: Sheets, greeting: Callable[[], dict[str, Any]]
    ) -> None:
        """Bind, without serving; port 0 picks a free one. `greeting` gives a stream's first message.

        Raises:
            OSError: the address or the port cannot be used.
        """
        self.token = secrets.token_urlsafe(16)
        self.sheets = sheets
        self.greeting = greeting
        self.grace_seconds = _GRACE_SECONDS
        self._connections = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        self.address_family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        super().__init__((host, port), _Handler)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread, or close it if too many are open."""
        if self._connections.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log an unexpected error. Browsers may close connections at any time, so OSError is expected."""
        if not isinstance(sys.exception(), OSError):
            _log.exception("the board failed on a request")


class _Handler(BaseHTTPRequestHandler):
    """Serves one connection of a browser."""

    server: BoardServer
    protocol_version = "HTTP/1.1"
    timeout = _TIMEOUT_SECONDS
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Send the page or the stream of its answers, or take a batch of a page or its end."""
        match self.command, self._path():
            case "GET", "":
                policy = ("Content-Security-Policy", _POLICY)
                self._send(200, _PAGE, "text/html; charset=utf-8", policy)
            case "GET", "answers":
                self._with_name(self._follow)
            case "POST", "ink":
                self._with_name(self._write)
            case "POST", "leave":
                self._with_name(self._leave)
            case _, "" | "answers" | "ink" | "leave":
                other = "POST" if self.command == "GET" else "GET"
                self._refuse(405, "method", self.command, f"use {other}", ("Allow", other))
            case _:
                fix = "open the address that `inkstream board` printed"
                self._refuse(404, "address", self.path, fix)

    do_POST = do_GET  # noqa: N815 - named by http.server

    def _path(self) -> str | None:
        """Give the path after the token; None if the token is wrong."""
        parts = self.path.partition("?")[0].split("/")
        if len(parts) != 3:
            return None
        _, token, asked = parts
        return asked if secrets.compare_digest(token.encode(), self.server.token.encode()) else None

    def _query(self, name: str) -> str:
        return parse_qs(self.path.partition("?")[2], max_num_fields=8).get(name, [""])[0]

    def _with_name(self, do: Callable[[str], None]) -> None:
        """Handle a request of a page by its name, and send errors back."""
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
            self._refuse(404, "page", name, "open its stream of answers first")
            return
        sheet.write(batch)
        self._send(204)

    def _leave(self, name: str) -> None:
        # The body does not matter and is not read.
        self.close_connection = True
        if (sheet := self.server.sheets.find(name)) is not None:
            self.server.sheets.close(name, sheet)
        self._send(204)

    def _body(self) -> bytes | None:
        """Read the body; None if it was rejected."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 16):
            self._refuse(411, "Content-Length", length, "send the number of bytes in the body")
            return None
        if int(length) > MOST_BYTES:
            self._refuse(413, "Content-Length", length, f"send at most {MOST_BYTES} bytes")
            return None
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self._refuse(400, "body", f"{len(body)} bytes", f"send the announced {length} bytes")
            return None
        return body

    # ---- To the page --------------------------------------------------------------------------------

    def _follow(self, name: str) -> None:
        """Send a page its messages until it closes."""
        after = self._query("after") or "0"
        if not (after.isascii() and after.isdigit() and len(after) < 16):
            raise Malformed("after", after, "send the number of the last answer, or no number")
        try:
            sheet, resumed = self.server.sheets.open(name)
        except NoRoom:
            fix = "close another page first: too many are open"
            self._refuse(503, "page", name, fix, ("Retry-After", "3"))
            return
        reader = sheet.mailbox.begin()
        try:
            self._send_messages(sheet, reader, int(after) if resumed else 0, resumed)
        except OSError:
            pass  # The browser closed the connection, or does not read.
        finally:
            self.close_connection = True
            if sheet.mailbox.is_left(reader, self.server.grace_seconds):
                self.server.sheets.close(name, sheet)

    def _send_messages(self, sheet: Sheet, reader: int, after: int, resumed: bool) -> None:
        self.send_response(200)
        stream = (("Content-Type", "text/event-stream"), ("Connection", "close"))
        for header in (*PAGE_HEADERS, *stream):
            self.send_header(*header)
        self.end_headers()
        hello = {**self.server.greeting(), "batch": sheet.last_batch, "resumed": resumed}
        self._event("hello", hello)
        while (messages := sheet.mailbox.read(reader, after, _HEARTBEAT_SECONDS)) is not None:
            for message in messages:
                self._event(message.kind, message.body, message.number)
                after = message.number
            if not messages:
                self._event("beat", {})

    def _event(self, kind: str, body: dict[str, Any], number: int | None = None) -> None:
        line = "" if number is None else f"id: {number}\n"
        self.wfile.write(f"event: {kind}\n{line}data: {json.dumps(body)}\n\n".encode())

    # ---- Whole responses ----------------------------------------------------------------------------

    def _refuse(
        self, status: int, field: str, value: str, fix: str, *headers: tuple[str, str]
    ) -> None:
        # The body may be unread, so the connection cannot be used again.
        self.close_connection = True
        error = {"error": Malformed(field, value, fix).as_json()}
        body = json.dumps(error).encode() + b"\n"
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
        """Reject invalid HTTP with a JSON error, like all other requests."""
        self.command = self.command or ""
        self._refuse(code, "request", message or "", "send HTTP/1.1 with GET or POST")

    def version_string(self) -> str:
        """Give the name of the server, without any version."""
        return "inkstream"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named by http.server
        """Log no single request."""
