from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from inkstream import AsyncClient
from inkstream.v1 import recognition_service_pb2 as pb
from inkstream_server.model_store.store import BUNDLED

from tests.integration.conftest import STOP_SECONDS, RunningServer, StartServer
from tests.integration.contract import Stream, open_stream, stub
from tests.patience import eventually

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def lines(server: RunningServer, event: str) -> list[dict[str, Any]]:
    found = map(json.loads, server.stderr().splitlines())
    return [line for line in found if line["event"] == event]


async def write_and_leave(server: RunningServer) -> None:
    """Open a stream within a trace, and end it."""
    async with stub(server.address) as service:
        metadata = [("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01")]
        call = service.StreamRecognize(metadata=metadata)
        await call.write(pb.StreamRecognizeRequest(config=pb.StreamConfig(client_label="tablet")))
        await Stream(call).finish()


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_signals_change_the_log_level_of_a_running_server(
    start_server: StartServer, workers: str
) -> None:
    server = start_server("--log-format", "json", "--workers", workers)
    processes = 1 if workers == "1" else 3  # The supervisor has its own level.
    await write_and_leave(server)
    assert not lines(server, "stream_opened")
    server.signal(signal.SIGUSR1)
    await eventually("more", lambda: len(lines(server, "log_level")) == processes)
    assert {line["least"] for line in lines(server, "log_level")} == {"debug"}
    await write_and_leave(server)
    await eventually("a line", lambda: len(lines(server, "stream_ended")) == 1)
    server.signal(signal.SIGUSR2)
    await eventually("less", lambda: len(lines(server, "log_level")) == 2 * processes)
    await write_and_leave(server)
    assert len(lines(server, "stream_opened")) == 1


def processes_of(pid: int) -> set[int]:
    """A process and all processes that it has started."""
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return set()
    return {pid}.union(*(processes_of(int(child)) for child in found))


def holds_back(pid: int, number: signal.Signals) -> bool:
    """Whether a process keeps a signal waiting, or has a handler for it."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return False
    masks = (line.split()[1] for line in lines if line.startswith(("SigBlk", "SigCgt")))
    return any(int(mask, 16) >> (number - 1) & 1 for mask in masks)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_signal_for_the_log_while_a_server_starts_is_obeyed_once_it_can_be(
    tmp_path: Path, workers: str
) -> None:
    ready = tmp_path / "ready.json"
    command = [sys.executable, "-m", "inkstream_server", "serve", "--workers", workers]
    ports = ["--port", "0", "--metrics-port", "0", "--ready-file", str(ready)]
    with (tmp_path / "stderr.txt").open("wb") as stderr:
        server = subprocess.Popen([*command, *ports], stderr=stderr)  # noqa: ASYNC220 (takes no time)
    try:
        signalled: set[int] = set()

        def is_ready() -> bool:
            # Python itself needs a moment until it can hold anything back.
            for pid in processes_of(server.pid) - signalled:
                if pid != server.pid or holds_back(pid, signal.SIGUSR1):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGUSR1)
                    signalled.add(pid)
            assert server.poll() is None, (tmp_path / "stderr.txt").read_text()
            return ready.exists()

        await eventually("ready", is_ready)
        text = (tmp_path / "stderr.txt").read_text()
        assert text.count("event=log_level least=debug") >= 1
        assert "worker_died" not in text
        assert len(signalled) >= (1 if workers == "1" else 3)
    finally:
        server.terminate()
        assert server.wait(STOP_SECONDS) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_every_line_of_a_json_log_is_json_from_start_through_swap_to_stop(
    start_server: StartServer, tmp_path: Path, workers: str
) -> None:
    store = tmp_path / "store"
    shutil.copytree(BUNDLED / "digits" / "1", store / "digits" / "1")
    flags = ["--log-format", "json", "--workers", workers]
    server = start_server(*flags, "--model-store", str(store), "--model-poll", "0.05")
    shutil.copytree(BUNDLED / "digits" / "1", store / "2.part")
    (store / "2.part").rename(store / "digits" / "2")
    await eventually("a swap", lambda: len(lines(server, "model_swapped")) == int(workers))
    server.signal()
    assert server.wait() == 0
    assert len(lines(server, "stopped")) == 1
    assert any(
        "LiteRT" in it["line"] or "TensorFlow" in it["line"]
        for it in lines(server, "native_output")
    )


async def test_lines_about_a_stream_carry_its_name_and_the_callers_trace(
    start_server: StartServer,
) -> None:
    server = start_server("--log-format", "json", "--log-level", "debug")
    await write_and_leave(server)
    await write_and_leave(server)
    await eventually("lines", lambda: len(lines(server, "stream_ended")) == 2)
    first, second = lines(server, "stream_opened")
    assert first["stream"] != second["stream"]
    for line in (first, second):
        assert line["trace_id"] == TRACE
        assert line["client"] == "tablet"
        assert line["peer"].startswith(("ipv4:127.0.0.1:", "ipv6:"))


async def test_the_clients_metadata_carries_a_trace(start_server: StartServer) -> None:
    server = start_server("--log-format", "json", "--log-level", "debug")
    context = f"00-{TRACE}-00f067aa0ba902b7-01"
    async with AsyncClient(server.address, metadata=[("traceparent", context)]) as client:
        await client.recognize(np.zeros((28, 28), np.uint8))
    await eventually("a line", lambda: len(lines(server, "stream_ended")) == 1)
    assert lines(server, "stream_ended")[0]["trace_id"] == TRACE


async def test_a_protocol_error_is_logged_with_the_peer(
    start_server: StartServer,
) -> None:
    server = start_server("--log-format", "json")
    async with stub(server.address) as service:
        stream = await open_stream(service)
        await stream.call.write(pb.StreamRecognizeRequest(config=pb.StreamConfig()))
        with pytest.raises(grpc.aio.AioRpcError):
            await stream.receive_all()
        assert await stream.code() is grpc.StatusCode.INVALID_ARGUMENT
    await eventually("a line", lambda: len(lines(server, "stream_violated")) == 1)
    (line,) = lines(server, "stream_violated")
    assert line["peer"]
    assert "config" in line["reason"]
    assert "trace_id" not in line
