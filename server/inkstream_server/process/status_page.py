"""The pages beside `/metrics`: `/` for people, `/healthz` and `/readyz` for probes and load balancers.

`/` is one file that contains everything it needs and draws the figures of `/metrics`.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from inkstream_pages import PAGE_HEADERS, page_policy

_PAGE = Path(__file__).with_name("status.html").read_bytes()
_POLICY = page_policy(_PAGE)


def pages(metrics: WSGIApplication, is_ready: Callable[[], bool]) -> WSGIApplication:
    """Give the application that answers all paths of the metrics port.

    Args:
        metrics: the application that answers `/metrics`.
        is_ready: says whether the server accepts new streams, for `/readyz`. Called from any thread.
    """

    def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics" and environ["REQUEST_METHOD"] == "HEAD":
            return _head(metrics, environ, start)
        if path == "/metrics":
            return metrics(environ, start)
        status, kind, body = "200 OK", "text/plain; charset=utf-8", b"ok\n"
        headers = [*PAGE_HEADERS]
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            status, body = "405 Method Not Allowed", b"use GET\n"
            headers.append(("Allow", "GET, HEAD"))
        elif path == "/":
            kind, body = "text/html; charset=utf-8", _PAGE
            headers.append(("Content-Security-Policy", _POLICY))
        elif path == "/readyz" and not is_ready():
            status, body = "503 Service Unavailable", b"starting or draining\n"
        elif path not in ("/healthz", "/readyz"):
            status, body = "404 Not Found", b"use /, /metrics, /healthz or /readyz\n"
        start(status, [("Content-Type", kind), ("Content-Length", str(len(body))), *headers])
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    return answer


def _head(page: WSGIApplication, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
    """Answer HEAD for an application that knows only GET."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def note(status: str, headers: list[tuple[str, str]], *_: object) -> Callable[[bytes], object]:
        started.append((status, headers))
        return len

    size = sum(map(len, page({**environ, "REQUEST_METHOD": "GET"}, note)))
    status, headers = started[-1]
    start(status, [*headers, ("Content-Length", str(size))])
    return [b""]
