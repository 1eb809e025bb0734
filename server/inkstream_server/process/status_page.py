"""The pages beside `/metrics`: `/` for people, `/healthz` and `/readyz` for probes and load balancers.

`/` is one file that contains everything it needs and draws the figures of `/metrics`.
"""

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from inkstream_pages import page_policy

from inkstream_server.process.http_port import Respond
from inkstream_server.process.http_request import Answer, Request

_PAGE = Path(__file__).with_name("status.html").read_bytes()
_HTML = Answer(
    200, _PAGE, "text/html; charset=utf-8", (("Content-Security-Policy", page_policy(_PAGE)),)
)
_OK = Answer(200, b"ok\n")
_NOT_READY = Answer(503, b"starting or draining\n")
_UNKNOWN = Answer(404, b"use /, /metrics, /healthz or /readyz\n")
_WRONG_METHOD = Answer(405, b"use GET\n", headers=(("Allow", "GET, HEAD"),))


def pages(metrics: Callable[[Request], Future[Answer]], is_ready: Callable[[], bool]) -> Respond:
    """Give the function that answers all paths of the metrics port.

    Args:
        metrics: computes the answer to `/metrics`.
        is_ready: says whether the server accepts new streams, for `/readyz`. Called from any thread.
    """

    def answer(request: Request) -> Answer | Future[Answer]:
        if request.method not in ("GET", "HEAD"):
            return _WRONG_METHOD
        match request.path:
            case "/metrics":
                return metrics(request)
            case "/":
                return _HTML
            case "/healthz":
                return _OK
            case "/readyz":
                return _OK if is_ready() else _NOT_READY
            case _:
                return _UNKNOWN

    return answer
