"""Several processes behind one port: started, killed, replaced, counted and drained as one server."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import urllib.request
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.integration.conftest import STOP_SECONDS, RunningServer, StartServer
from tests.integration.contract import Stream, open_stream, stub
from tests.patience import eventually

BLANK = bytes(784)
LOST = (grpc.aio.AioRpcError, asyncio.InvalidStateError)
"""Errors of a call whose worker was killed."""


def workers_of(server: RunningServer) -> dict[int, int]:
    """Process ids by worker, as last logged."""
    found = re.findall(r"event=worker_serves worker=(\d+) pid=(\d+)", server.stderr())
    return {int(worker): int(pid) for worker, pid in found}


def lives(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


async def kill(server: RunningServer, worker: int, number: signal.Signals = signal.SIGKILL) -> None:
    """End a worker, and wait for the next one in its place."""
    pid = workers_of(server)[worker]
    os.kill(pid, number)
    await eventually("its replacement", lambda: workers_of(server)[worker] != pid)


async def stream_on_each(server: RunningServer, service: AsyncExitStack) -> list[Stream]:
    """Open connections until every worker has a stream; the kernel chooses."""
    streams: list[Stream] = []
    for _ in range(64):
        streams.append(await open_stream(await service.enter_async_context(stub(server.address))))
        metrics = await asyncio.to_thread(server.metrics)
        by_worker = [
            metrics.value("inkstream_worker_streams", **labels)
            for labels in metrics.labels("inkstream_worker_streams")
        ]
        assert sum(by_worker) == metrics.value("inkstream_streams") == len(streams)
        if all(by_worker):
            return streams
    raise AssertionError(f"64 connections went to {by_worker}")


class Reopening:
    """Load that survives deaths of workers: one stream after the other, each on its own connection."""

    def __init__(self, address: str) -> None:
        self.answered = 0
        self._address = address
        self._stop = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    async def end(self) -> None:
        self._stop.set()
        await self._task

    async def _run(self) -> None:
        while not self._stop.is_set():
            try:
                async with stub(self._address) as service:
                    await self._stream(await open_stream(service))
            except LOST:
                continue  # Its worker was killed.

    async def _stream(self, stream: Stream) -> None:
        for message in range(50):
            await stream.send(sequences=range(message * 8, message * 8 + 8), uint8=BLANK * 8)
            await stream.receive_until(message * 8 + 8)
            self.answered += 8
            if self._stop.is_set():
                break
        await stream.finish()


async def test_workers_answer_as_one_server_with_one_page_of_metrics(
    start_server: StartServer,
) -> None:
    server = start_server("--workers", "2")
    assert len(workers_of(server)) == 2, "ready before all serve"
    async with AsyncExitStack() as service:
        streams = await stream_on_each(server, service)
        for stream in streams:
            await stream.send(sequences=range(8), uint8=BLANK * 8)
            await stream.receive_until(8)
        metrics = server.metrics()
        assert metrics.total("inkstream_items_total") == 8 * len(streams)
        assert metrics.value("inkstream_item_latency_seconds_count", kind="tensor") == 8 * len(
            streams
        )
        assert metrics.value("inkstream_workers") == 2
        assert metrics.value("inkstream_worker_restarts_total") == 0
        assert metrics.total("inkstream_model_info") == 1
        for stream in streams:
            await stream.finish()
    async with grpc.aio.insecure_channel(server.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    ready = server.metrics_url.replace("metrics", "readyz")
    with await asyncio.to_thread(urllib.request.urlopen, ready, timeout=10) as page:
        assert page.status == 200


async def test_a_killed_worker_is_replaced_and_no_counter_falls(
    start_server: StartServer,
) -> None:
    server = start_server("--workers", "2")
    load = [Reopening(server.address) for _ in range(4)]
    pages = [server.metrics()]
    watching = asyncio.Event()

    async def watch() -> None:
        while not watching.is_set():
            pages.append(await asyncio.to_thread(server.metrics))

    watcher = asyncio.create_task(watch())
    for death, victim in enumerate([1, 0, 1], start=1):
        answered = pages[-1].total("inkstream_items_total")
        await eventually(
            "items are answered",
            lambda than=answered: pages[-1].total("inkstream_items_total") > than + 500,  # type: ignore[misc]
        )
        survivor = workers_of(server)[1 - victim]
        await kill(server, victim)
        await eventually("all serve", lambda: pages[-1].value("inkstream_workers") == 2)
        assert workers_of(server)[1 - victim] == survivor
        assert pages[-1].value("inkstream_worker_restarts_total") == death
    for each in load:
        await each.end()
    watching.set()
    await watcher
    last = server.metrics()
    for earlier, later in zip(pages, [*pages[1:], last], strict=True):
        assert not later.fallen_since(earlier)
    assert last.total("inkstream_items_total", outcome="ok") > 1500
    assert "event=worker_died worker=1 exit_code=-9" in server.stderr()
    assert last.value("inkstream_streams") == 0


async def test_streams_of_the_other_worker_do_not_notice_a_death(start_server: StartServer) -> None:
    server = start_server("--workers", "2")
    async with AsyncExitStack() as service:
        streams = await stream_on_each(server, service)
        os.kill(workers_of(server)[0], signal.SIGKILL)
        ended = 0
        for stream in streams:
            with suppress(*LOST):
                await stream.send(sequences=range(8), uint8=BLANK * 8)
                await stream.finish()
            code = await stream.code()
            if code is grpc.StatusCode.OK:
                assert stream.answers.order == [*range(8)]
            else:
                # INTERNAL if a write was in progress: grpc.aio's client then hides the status.
                assert code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL)
                ended += 1
        assert 0 < ended < len(streams)


async def test_repeated_deaths_of_workers_end_the_server_and_drain_the_others(
    start_server: StartServer,
) -> None:
    server = start_server("--workers", "2", "--max-restarts", "1")
    async with AsyncExitStack() as service:
        streams = await stream_on_each(server, service)
        await kill(server, 1)
        os.kill(workers_of(server)[1], signal.SIGKILL)
        drained = 0
        for stream in streams:
            with suppress(*LOST):
                drained += (await stream.receive_all()).draining
        assert drained, "the living worker's streams ended without a drain notice"
    assert server.wait() == 1
    assert "worker 1 ended with exit code -9, after 1 restarts in a row" in server.stderr()
    assert not server.ready_file.exists()
    assert not any(lives(pid) for pid in workers_of(server).values())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_drain_empties_every_worker(
    start_server: StartServer, number: signal.Signals
) -> None:
    server = start_server("--workers", "2")
    async with AsyncExitStack() as service:
        streams = await stream_on_each(server, service)
        for stream in streams:
            await stream.send(sequences=range(1000), uint8=BLANK * 1000)
        server.signal(number)
        for stream in streams:
            answers = await stream.receive_until(1000)
            while not answers.draining:
                assert await stream.receive() is not None, "ended without a drain notice"
            await stream.finish()
            assert answers.order == [*range(1000)]
            assert await stream.code() is grpc.StatusCode.OK
    assert server.wait() == 0
    assert not server.ready_file.exists()
    assert not any(lives(pid) for pid in workers_of(server).values())
    assert "worker_died" not in server.stderr()


async def test_a_terminal_that_signals_all_processes_at_once_drains_them_once(
    start_server: StartServer,
) -> None:
    server = start_server("--workers", "2")
    for pid in [*workers_of(server).values(), server.pid]:
        os.kill(pid, signal.SIGHUP)
        os.kill(pid, signal.SIGINT)
    assert server.wait() == 0
    assert "worker_died" not in server.stderr()


async def test_a_worker_that_gets_sigterm_is_drained_and_replaced(
    start_server: StartServer,
) -> None:
    server = start_server("--workers", "2")
    async with AsyncExitStack() as service:
        streams = await stream_on_each(server, service)
        for stream in streams:
            await stream.send(sequences=range(8), uint8=BLANK * 8)
            await stream.receive_until(8)
        await kill(server, 0, signal.SIGTERM)
        metrics = server.metrics()
        assert metrics.total("inkstream_items_total") == 8 * len(streams), "its last report is lost"
        assert metrics.value("inkstream_worker_streams", worker="0") == 0
        await eventually("all serve", lambda: server.metrics().value("inkstream_workers") == 2)
        for stream in streams:
            await stream.finish()
            assert await stream.code() is grpc.StatusCode.OK


async def test_workers_do_not_outlive_their_supervisor(start_server: StartServer) -> None:
    server = start_server("--workers", "2")
    workers = workers_of(server)
    async with AsyncExitStack() as service:
        streams = await stream_on_each(server, service)
        server.signal(signal.SIGKILL)
        for stream in streams:
            assert (await stream.receive_all()).draining
            await stream.call.done_writing()
    for pid in workers.values():
        await eventually(f"{pid} is gone", lambda pid=pid: not lives(pid))  # type: ignore[misc]


def refusal(*flags: str) -> str:
    """Return stderr of a server that fails to start."""
    command = [sys.executable, "-m", "inkstream_server", "serve", "--metrics-port", "0", *flags]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=STOP_SECONDS, check=False
    )
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stderr


@pytest.mark.parametrize(
    ("first", "second"), [("1", "2"), ("2", "1"), ("2", "2")], ids=lambda it: f"{it}-workers"
)
def test_a_port_has_one_server_however_many_workers(
    start_server: StartServer, first: str, second: str
) -> None:
    server = start_server("--workers", first)
    port = server.address.rsplit(":", 1)[1]
    output = refusal("--workers", second, "--port", port)
    assert f"port: cannot listen on 127.0.0.1:{port}" in output
    assert "choose another --port, or 0 for a free one" in output


def test_a_model_that_cannot_be_served_is_named_and_no_process_is_left(tmp_path: Path) -> None:
    output = refusal("--workers", "2", "--port", "0", "--model-store", str(tmp_path))
    assert str(tmp_path) in output.splitlines()[-1]
    assert "event=ready" not in output


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux pins")
def test_pinned_workers_have_a_core_each(start_server: StartServer) -> None:
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        pytest.skip("one core is not enough for two")
    server = start_server("--workers", "2", "--pin")
    pinned = [
        {
            frozenset(os.sched_getaffinity(int(thread.name)))
            for thread in Path(f"/proc/{pid}/task").iterdir()
        }
        for pid in workers_of(server).values()
    ]
    assert all(len(threads) == 1 for threads in pinned)
    assert {len(core) for threads in pinned for core in threads} == {1}
    assert pinned[0] != pinned[1]
    assert os.sched_getaffinity(server.pid) == cores


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux pins")
def test_more_pinned_workers_than_cores_are_refused() -> None:
    workers = len(os.sched_getaffinity(0)) + 1
    output = refusal("--workers", str(workers), "--pin", "--port", "0")
    assert f"pin: {workers} workers need {workers} cores of their own" in output
