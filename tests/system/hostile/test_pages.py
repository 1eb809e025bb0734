"""Probes, scrapes and clients, while others abuse the port of the HTTP pages for seconds."""

from __future__ import annotations

import asyncio
import http.client
import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

import numpy as np
import pytest

from tests.integration.conftest import RunningServer, StartServer
from tests.patience import eventually
from tests.system.faults.traffic import Images, traffic
from tests.system.promises import Promises

SECONDS = 5.0
"""Length of an attack."""
MEMORY_MB = 24
"""Most MB by which a process may have grown: 64 answers of 0.1 MB, and what the clients beside it take."""

METRICS = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"

Place = tuple[str, int]
Attack = Callable[[Place], int]


def memory_mb(server: RunningServer) -> int:
    (line,) = (
        line
        for line in Path(f"/proc/{server.pid}/status").read_text().splitlines()
        if line.startswith("VmRSS:")
    )
    return int(line.split()[1]) // 1024


def p99_ms(seconds: list[float]) -> str:
    return f"{1000 * float(np.percentile(seconds, 99)):.0f}"


def place(server: RunningServer) -> Place:
    host, port = server.metrics_url.split("/")[2].split(":")
    return host, int(port)


def _until_over(step: Callable[[], None]) -> int:
    end, count = monotonic() + SECONDS, 0
    while monotonic() < end:
        with suppress(OSError):  # The server may close a connection at any time.
            step()
        count += 1
    return count


@contextmanager
def _held(server: Place, sent: bytes, connections: int) -> Iterator[list[socket.socket]]:
    held: list[socket.socket] = []
    try:
        for _ in range(connections):
            each = socket.socket()
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            held.append(each)
            with suppress(OSError):
                each.connect(server)
                each.setblocking(False)
                each.send(sent)
        yield held
    finally:
        for each in held:
            each.close()


def half_requests(server: Place) -> int:
    """3,000 connections that stop in the middle of a header."""
    with _held(server, METRICS[:30], 3000) as held:
        sleep(SECONDS)
        return len(held)


def single_bytes(server: Place) -> int:
    """300 connections that send a request byte by byte."""
    with _held(server, METRICS[:-2] + b"Accept: ", 300) as held:

        def step() -> None:
            for each in held:
                with suppress(OSError):
                    each.send(b"a")
            sleep(0.05)

        return _until_over(step)


def unread_answers(server: Place) -> int:
    """300 connections that send requests for the metrics, ahead and without end, and read nothing."""
    with _held(server, METRICS, 300) as held:

        def step() -> None:
            for each in held:
                with suppress(OSError):
                    each.send(METRICS * 100)
            sleep(0.01)

        return _until_over(step)


def endless_headers(server: Place) -> int:
    """Connections, one after the other, that send headers for as long as the server reads."""

    def step() -> None:
        with socket.create_connection(server, timeout=1) as each:
            each.send(METRICS[:-2])
            while True:
                each.sendall(b"name: value\r\n" * 1000)

    return _until_over(step)


def connections(server: Place) -> int:
    """Connections as fast as they can be made, each with a request."""

    def step() -> None:
        with socket.create_connection(server, timeout=1) as each:
            each.send(b"GET / HTTP/1.1\r\n\r\n")

    return _until_over(step)


def scrapes(server: Place) -> int:
    """Scrapes over 60 connections, each as soon as the one before is answered."""
    with _held(server, METRICS, 60) as held, selectors.DefaultSelector() as selector:
        for each in held:
            selector.register(each, selectors.EVENT_READ)

        def step() -> None:
            for key, _ in selector.select(0.1):
                assert isinstance(key.fileobj, socket.socket)
                if not (received := key.fileobj.recv(1 << 20)):
                    selector.unregister(key.fileobj)
                elif received.endswith(b"\n"):
                    key.fileobj.send(METRICS)

        return _until_over(step)


class Watching:
    """Asks for pages all the time, and records how long they take."""

    def __init__(self, server: Place) -> None:
        self.seconds: dict[str, list[float]] = {"/readyz": [], "/metrics": []}
        self.failed: list[str] = []
        self._server = server
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(it,)) for it in self.seconds]

    def _ask(self, path: str) -> None:
        while not self._over.wait(0.1):
            began = monotonic()
            try:
                page = http.client.HTTPConnection(*self._server, timeout=10)
                page.request("GET", path)
                status = page.getresponse().status
                page.close()
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(f"{path}: {error!r}")
            else:
                if status != 200:
                    self.failed.append(f"{path}: {status}")
            self.seconds[path].append(monotonic() - began)

    def __enter__(self) -> Watching:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for each in self._threads:
            each.join()


ATTACKS = (half_requests, single_bytes, unread_answers, endless_headers, connections, scrapes)


def count(server: RunningServer, what: str) -> int:
    return len([*Path(f"/proc/{server.pid}/{what}").iterdir()])


@pytest.mark.parametrize("workers", ["1", "2"], ids=lambda it: f"{it}-workers")
async def test_probes_scrapes_and_clients_go_on_beside_abuse_of_the_pages(
    workers: str, start_server: StartServer, images: Images, promises: Promises
) -> None:
    server = start_server("--workers", workers)
    async with traffic(server.address, images, clients=1) as callers:
        await callers.more(1000)
        server.metrics()
        memory, threads = memory_mb(server), count(server, "task")
        descriptors = count(server, "fd")
        for attack in ATTACKS:
            taken = callers.outcomes.seconds
            begun = len(taken)
            with Watching(place(server)) as watching:
                done = await asyncio.to_thread(attack, place(server))
                peak = count(server, "fd"), count(server, "task")
            over = len(taken)
            assert not watching.failed, attack.__name__
            assert peak <= (descriptors + 80, threads + 1), attack.__name__
            await eventually(
                "descriptors as before", lambda: count(server, "fd") <= descriptors + 2
            )
            assert memory_mb(server) <= memory + MEMORY_MB, attack.__name__
            assert callers.outcomes.right == callers.outcomes.items
            pages = ", ".join(
                f"{path} p99 {p99_ms(seconds)} ms" for path, seconds in watching.seconds.items()
            )
            promises.kept(
                f"{(attack.__doc__ or '').strip()} (--workers {workers})",
                "every probe and scrape is answered; others lose nothing; descriptors come back",
                f"{done:,} steps; {pages}; {over - begun:,} items of others, all right, p99 "
                f"{p99_ms(taken[:begun])} ms before and {p99_ms(taken[begun:over])} ms beside it; "
                f"{memory_mb(server) - memory:+} MB",
            )
    assert "Traceback" not in server.stderr()
