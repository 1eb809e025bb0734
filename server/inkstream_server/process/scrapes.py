"""Computes the page of metrics, in a thread of its own, for all scrapes that wait at once.

A page is computed after its scrape has arrived, so that it shows what happened before. However many scrape,
computing takes at most a part of a core.
"""

from __future__ import annotations

import gzip
import re
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic, thread_time

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from inkstream_server import logs
from inkstream_server.process.budget import Budget
from inkstream_server.process.http_request import Answer, Request

_OPENMETRICS = re.compile(r"\s*application/openmetrics-text\s*((?:;[^;]*)*)")
_TEXT = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Form:
    """A form in which a page can be had."""

    is_openmetrics: bool
    """OpenMetrics 1.0, which has exemplars; otherwise the text format of Prometheus."""
    is_packed: bool
    """Compressed by gzip."""


def form_of(request: Request) -> Form:
    """Choose the form that a caller accepts. Of a header that nobody understands, the text format is left."""
    accepted = request.headers.get("accept", "").split(",")
    packings = request.headers.get("accept-encoding", "").lower().split(",")
    return Form(
        is_openmetrics=any(map(_is_openmetrics, accepted)),
        is_packed=any(
            name.strip() == "gzip" and not _is_unwanted(rest)
            for name, _, rest in (it.partition(";") for it in packings)
        ),
    )


def _is_openmetrics(accepted: str) -> bool:
    matched = _OPENMETRICS.fullmatch(accepted)
    if matched is None or _is_unwanted(matched[1]):
        return False
    version = re.search(r";\s*version=([^;]*)", matched[1])
    return version is None or re.fullmatch(r"1\.\d+\.\d+\s*", version[1]) is not None


def _is_unwanted(parameters: str) -> bool:
    return re.search(r"(^|;)\s*q=0(\.0*)?\s*(;|$)", parameters) is not None


class Scrapes:
    """The scrapes that wait, and the thread that answers them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Start the thread."""
        self._registry = registry
        self._waiting: dict[Form, list[Future[Answer]]] = {}
        self._changed = threading.Condition()
        self._is_closed = False
        self._budget = Budget()
        threading.Thread(target=self._run, name="scrapes", daemon=True).start()

    def ask(self, form: Form) -> Future[Answer]:
        """Ask for the page. Does not block."""
        asked: Future[Answer] = Future()
        with self._changed:
            self._waiting.setdefault(form, []).append(asked)
            self._changed.notify()
        return asked

    def close(self) -> None:
        """Compute no further page. Does not wait for one that is under way."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def _run(self) -> None:
        while (waiting := self._next()) is not None:
            self._answer(waiting)
            self._budget.charge(thread_time(), monotonic())

    def _next(self) -> dict[Form, list[Future[Answer]]] | None:
        """Wait for scrapes, and for the time to compute; gives all that wait, or None at the end."""
        with self._changed:
            while not self._is_closed:
                rest = self._budget.rest(monotonic())
                if self._waiting and rest <= 0:
                    waiting, self._waiting = self._waiting, {}
                    return waiting
                self._changed.wait(rest if self._waiting else None)
        return None

    def _answer(self, waiting: dict[Form, list[Future[Answer]]]) -> None:
        wanted = {
            form: [it for it in asked if it.set_running_or_notify_cancel()]
            for form, asked in waiting.items()
        }
        wanted = {form: asked for form, asked in wanted.items() if asked}
        try:
            page = _Page([*self._registry.collect()] if wanted else [])
            answers = {form: page.answer(form) for form in wanted}
        except Exception as error:  # noqa: BLE001 (any metric may fail, and the next scrape may not)
            logs.get().error("scrape_failed", exc_info=error)
            failed = Answer(500, b"the metrics cannot be shown: see the server's log\n")
            answers = dict.fromkeys(wanted, failed)
        for form, asked in wanted.items():
            for future in asked:
                future.set_result(answers[form])


class _Page:
    """What was collected once, as a registry that gives it any number of times."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return iter(self._metrics)

    def answer(self, form: Form) -> Answer:
        write = openmetrics.generate_latest if form.is_openmetrics else generate_latest
        body = write(self)
        kind = openmetrics.CONTENT_TYPE_LATEST if form.is_openmetrics else _TEXT
        headers = (("Vary", "Accept, Accept-Encoding"),)
        if form.is_packed:
            return Answer(200, gzip.compress(body), kind, (*headers, ("Content-Encoding", "gzip")))
        return Answer(200, body, kind, headers)
