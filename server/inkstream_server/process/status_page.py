"""The pages beside `/metrics`: one for people, and two words for those who start and balance servers.

`/` is one file with everything in it: it draws what `/metrics` says. It may load nothing, run nothing but its
own script and be framed by nobody, and its headers tell browsers so.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_PAGE = Path(__file__).with_name("status.html").read_bytes()

# The client's board says the same of its page; a supervisor serves this one, and to import anything of
# `inkstream` would bring it gRPC, which it must not have loaded when it starts workers.


def _hash(element: bytes) -> str:
    """What a browser must find inside of the page's only `<script>` or `<style>`."""
    found = re.search(rb"<%s>(.*)</%s>" % (element, element), _PAGE, re.DOTALL)
    assert found is not None
    return base64.b64encode(hashlib.sha256(found[1]).digest()).decode()


_POLICY = "; ".join(
    [
        "default-src 'none'",
        f"script-src 'sha256-{_hash(b'script')}'",
        f"style-src 'sha256-{_hash(b'style')}'",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)

_HEADERS = [
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
]


def pages(metrics: WSGIApplication, is_ready: Callable[[], bool]) -> WSGIApplication:
    """Give what answers all paths of the metrics port.

    Args:
        metrics: answers `/metrics`.
        is_ready: whether new streams are welcome, for `/readyz`. Called from any thread.
    """

    def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics" and environ["REQUEST_METHOD"] == "HEAD":
            return _head(metrics, environ, start)
        if path == "/metrics":
            return metrics(environ, start)
        status, kind, body = "200 OK", "text/plain; charset=utf-8", b"ok\n"
        headers: list[tuple[str, str]] = [*_HEADERS]
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            status, body = "405 Method Not Allowed", b"use GET\n"
            headers.append(("Allow", "GET, HEAD"))
        elif path == "/":
            kind, body = "text/html; charset=utf-8", _PAGE
            headers.append(("Content-Security-Policy", _POLICY))
        elif path == "/readyz" and not is_ready():
            status, body = "503 Service Unavailable", b"starting or draining\n"
        elif path not in ("/healthz", "/readyz"):
            status, body = "404 Not Found", b"here are /, /metrics, /healthz and /readyz\n"
        start(status, [("Content-Type", kind), ("Content-Length", str(len(body))), *headers])
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    return answer


def _head(page: WSGIApplication, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
    """Answer HEAD for a page that knows only GET."""
    said: list[tuple[str, list[tuple[str, str]]]] = []

    def listen(
        status: str, headers: list[tuple[str, str]], *_: object
    ) -> Callable[[bytes], object]:
        said.append((status, headers))
        return len

    size = sum(map(len, page({**environ, "REQUEST_METHOD": "GET"}, listen)))
    status, headers = said[-1]
    start(status, [*headers, ("Content-Length", str(size))])
    return [b""]
