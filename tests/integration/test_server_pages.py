"""The HTTP pages of a real server while callers hold what they can."""

from __future__ import annotations

import asyncio
import http.client
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.integration.conftest import RunningServer, StartServer
from tests.integration.contract import open_stream, stub
from tests.patience import PATIENCE_SECONDS, eventually

HALF = b"GET /metrics HTTP/1.1\r\nAccept: "
METRICS = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
ATTACKS = {
    "half a request": HALF,
    "nothing": b"",
    "an answer unread": METRICS,
    "requests ahead": METRICS * 200,
    "long headers": b"GET / HTTP/1.1\r\nAccept: " + b"a" * 100_000,
    "many headers": b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 10_000,
    "a body": b"POST /metrics HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n" + bytes(10_000),
    "an odd Accept": METRICS[:-2]
    + b"Accept: application/openmetrics-text;version=\xff.x;q=\r\n\r\n",
}


def place(server: RunningServer) -> tuple[str, int]:
    host, port = server.metrics_url.split("/")[2].split(":")
    return host, int(port)


def status(server: RunningServer, path: str) -> int:
    page = http.client.HTTPConnection(*place(server), timeout=PATIENCE_SECONDS)
    page.request("GET", path)
    with page.getresponse() as answer:
        answer.read()
    page.close()
    return answer.status


def count(server: RunningServer, what: str) -> int:
    return len([*Path(f"/proc/{server.pid}/{what}").iterdir()])


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_pages_and_callers_are_answered_while_others_hold_the_port(
    start_server: StartServer, workers: str
) -> None:
    server = start_server("--workers", workers)
    assert status(server, "/metrics") == 200
    descriptors, threads = count(server, "fd"), count(server, "task")
    async with stub(server.address) as service:
        stream = await open_stream(service)
        for name, sent in ATTACKS.items():
            with ExitStack() as held:
                for number in range(300 if sent == HALF else 100):
                    attacker = held.enter_context(socket.create_connection(place(server)))
                    attacker.setblocking(False)
                    with suppress(ConnectionError):
                        attacker.send(sent)
                    if number % 50 == 0:
                        assert await asyncio.to_thread(status, server, "/readyz") == 200, name
                assert count(server, "fd") <= descriptors + 80, name
                assert count(server, "task") <= threads + 2, name
                assert await asyncio.to_thread(status, server, "/healthz") == 200, name
            await stream.send(sequences=[1 + [*ATTACKS].index(name)], uint8=bytes(784))
        await stream.finish()
        assert len(stream.answers.order) == len(ATTACKS)
    await eventually(
        "a scrape, and the descriptors of before",
        lambda: status(server, "/metrics") == 200 and count(server, "fd") <= descriptors + 2,
    )
    ended = server.metrics().total("inkstream_page_connections_ended_total", reason="crowded")
    assert ended > 300
    assert "Traceback" not in server.stderr()
