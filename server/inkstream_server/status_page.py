"""The pages beside `/metrics`: one for people, and two words for those who start and balance servers.

`/` is one file with everything in it: it draws what `/metrics` says. It may load nothing, run nothing but its
own script and be framed by nobody, and its headers tell browsers so.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from inkstream._sealed_page import HEADERS, policy_of

_PAGE = Path(__file__).with_name("status.html").read_bytes()
_POLICY = policy_of(_PAGE)


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
        headers: list[tuple[str, str]] = [*HEADERS]
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
