from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from inkstream.v1 import recognition_service_pb2 as pb
from inkstream.v1 import tensor_pb2

from tests.integration.conftest import (
    STOP_SECONDS,
    RunningServer,
    StartServer,
    running_server,
)
from tests.integration.contract import Stream, open_stream, stub
from tests.integration.raw_calls import SERVICE, raw_call
from tests.integration.steady import BLANK, Steady
from tests.patience import PATIENCE_SECONDS, eventually

ROOT = Path(__file__).parents[2]


@contextmanager
def flooding(address: str) -> Iterator[subprocess.Popen[str]]:
    """A client process whose stream is sending."""
    command = [sys.executable, "-m", "tests.integration.flood", address]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as client:
        try:
            assert client.stdout is not None
            assert client.stdout.readline() == "flowing\n"
            yield client
        finally:
            client.kill()


def health_of(channel: grpc.aio.Channel) -> health_pb2_grpc.HealthStub:
    return health_pb2_grpc.HealthStub(channel)


async def test_a_client_killed_in_mid_stream_leaves_no_stream_or_item_behind(
    start_server: StartServer,
) -> None:
    server = start_server()
    async with stub(server.address) as service:
        neighbour = Steady(await open_stream(service))
        for _ in range(3):
            with flooding(server.address) as client:
                assert server.metrics().value("inkstream_streams") == 2
                client.kill()
                client.wait()
                await eventually(
                    "one stream, and no more in the queue than it sends",
                    lambda: (
                        server.metrics().value("inkstream_streams") == 1
                        and server.metrics().total("inkstream_queue_depth") <= 16
                    ),
                )
        answered = len(neighbour.stream.answers.order)
        await eventually(
            "answers for the neighbour",
            lambda: len(neighbour.stream.answers.order) > answered + 100,
        )
        neighbour.stop()
        await neighbour.ended()
        assert neighbour.stream.answers.order == [*range(neighbour.sent)]
    await eventually("no streams", lambda: server.metrics().value("inkstream_streams") == 0)
    metrics = server.metrics()
    stream = {"grpc_method": "StreamRecognize"}
    assert metrics.total("grpc_server_started_total", **stream) == 4
    assert metrics.total("grpc_server_handled_total", grpc_code="CANCELLED", **stream) == 3
    assert metrics.total("grpc_server_handled_total", grpc_code="OK", **stream) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_drain_under_load_loses_no_accepted_item(
    start_server: StartServer, number: signal.Signals
) -> None:
    server = start_server()
    async with stub(server.address) as service, stub(server.address) as another:
        steady = [
            Steady(await open_stream(it)) for it in (service, service, service, another, another)
        ]
        for each in steady:
            await eventually("answers flow", lambda it=each: len(it.stream.answers.order) > 50)  # type: ignore[misc]
        server.signal(number)
        for each in steady:
            await each.ended()
            assert each.stream.answers.draining, "ended without a drain notice"
            assert each.stream.answers.order == [*range(each.sent)]
            assert await each.stream.code() is grpc.StatusCode.OK
    assert server.wait() == 0
    assert not server.ready_file.exists()
    assert "event=drain" in server.stderr()
    assert "event=stopped" in server.stderr()


async def test_a_caller_that_does_not_stop_is_ended_at_the_end_of_the_drain(
    start_server: StartServer,
) -> None:
    server = start_server("--drain-timeout", "0.5")
    async with stub(server.address) as service:
        rude = Steady(await open_stream(service), heeds_draining=False)
        await eventually("answers flow", lambda: len(rude.stream.answers.order) > 50)
        server.signal()
        await rude.ended()
        answers = rude.stream.answers
        assert answers.draining
        assert answers.order == [*range(len(answers.order))], "an accepted item has no answer"
    assert server.wait() == 0


async def test_a_draining_server_refuses_new_streams_and_reports_not_serving(
    start_server: StartServer,
) -> None:
    server = start_server("--drain-timeout", "60")
    async with (
        stub(server.address) as service,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        check = health_pb2.HealthCheckRequest(service="inkstream.v1.RecognitionService")
        before = await health_of(channel).Check(check)
        assert before.status == health_pb2.HealthCheckResponse.SERVING
        busy = Steady(await open_stream(service), heeds_draining=False)
        # A stream that is still opening when the drain begins is refused without a notice.
        await eventually("the first answer", lambda: bool(busy.stream.answers.order))
        server.signal()
        await eventually("the drain notice", lambda: busy.stream.answers.draining)

        during = await health_of(channel).Check(check)
        assert during.status == health_pb2.HealthCheckResponse.NOT_SERVING
        async with stub(server.address) as newcomer:
            refused = newcomer.StreamRecognize()
            assert await Stream(refused).code() is grpc.StatusCode.UNAVAILABLE
            assert "elsewhere" in await refused.details()
            tensors = tensor_pb2.Tensors(uint8=BLANK)
            answer = await newcomer.Recognize(pb.RecognizeRequest(tensors=tensors))
            assert len(answer.tensors[0].digits) == 1, "a unary call during the drain"
        busy.stop()
        await busy.ended()
        assert busy.stream.answers.order == [*range(busy.sent)]
    assert server.wait() == 0


async def test_endless_calls_do_not_delay_the_drain(start_server: StartServer) -> None:
    # If the drain waited for them it would take ten minutes, and the test would time out.
    server = start_server("--drain-timeout", "600")
    async with (
        stub(server.address) as service,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        watch = health_of(channel).Watch(health_pb2.HealthCheckRequest())
        serving = await watch.read()
        assert isinstance(serving, health_pb2.HealthCheckResponse)
        assert serving.status == health_pb2.HealthCheckResponse.SERVING
        idle = await open_stream(service)
        unconfigured = service.StreamRecognize()
        await unconfigured.wait_for_connection()
        await eventually("both streams", lambda: server.metrics().value("inkstream_streams") == 2)
        server.signal()
        stopping = await watch.read()
        assert isinstance(stopping, health_pb2.HealthCheckResponse)
        assert stopping.status == health_pb2.HealthCheckResponse.NOT_SERVING
        await idle.receive_all()
        assert idle.answers.draining
        assert await idle.code() is grpc.StatusCode.OK
        assert await asyncio.to_thread(server.wait) == 0


async def test_a_caller_that_reads_no_answers_does_not_delay_the_drain(
    start_server: StartServer,
) -> None:
    server = start_server("--drain-timeout", "0.5")
    with flooding(server.address):
        server.signal()
        assert server.wait() == 0


def run_server(*flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "inkstream_server", "serve", "--port", "0", *flags],
        capture_output=True,
        text=True,
        timeout=STOP_SECONDS,
        env={**os.environ, "INKSTREAM_METRICS_PORT": "0", **environment},
        check=False,
    )


def test_a_port_in_use_is_reported_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for flag in ("--port", "--metrics-port"):
            ended = run_server(flag, port)
            assert ended.returncode == 1
            last = ended.stderr.splitlines()[-1]
            assert last.startswith(f"inkstream-server: {flag[2:].replace('-', '_')}: cannot listen")
            assert port in last
            assert f"choose another {flag}" in last
            assert "Traceback" not in ended.stderr
            assert "add_port" not in ended.stderr


@pytest.mark.parametrize(
    ("flags", "expected_text"),
    [
        (["--model", "letters"], "model: no 'letters' in"),
        (["--model", ""], "model: no '' in"),
        (
            ["--host", "nowhere.invalid", "--insecure-listen"],
            "host: cannot listen on nowhere.invalid",
        ),
        (
            ["--host", "192.0.2.1", "--insecure-listen", "--workers", "2"],
            "host: cannot listen on 192.0.2.1 (Cannot assign requested address): expected an address",
        ),
        (["--ready-file", "/nowhere/ready.json"], "ready_file: cannot write /nowhere/ready.json"),
    ],
)
def test_an_error_at_the_start_is_reported_in_one_line(
    flags: list[str], expected_text: str
) -> None:
    ended = run_server(*flags)
    assert ended.returncode == 1
    assert expected_text in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "command",
    [["serve"], ["serve", "--workers", "2"], ["config"], ["models", "verify"]],
    ids=" ".join,
)
@pytest.mark.parametrize("most", [6, 20])
def test_too_few_descriptors_are_reported_in_one_line(command: list[str], most: int) -> None:
    limited = f'ulimit -n {most}; exec "$@"'
    program = [sys.executable, "-m", "inkstream_server", *command]
    ended = subprocess.run(
        ["bash", "-c", limited, "bash", *program],
        capture_output=True,
        text=True,
        timeout=STOP_SECONDS,
        check=False,
    )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"inkstream-server: open files: this process may open {most}, and needs")


async def test_few_descriptors_leave_pages_and_the_server_their_own(tmp_path: Path) -> None:
    program = ["bash", "-c", 'ulimit -n 64; exec "$@"', "bash"]
    program += [sys.executable, "-m", "inkstream_server"]
    with ExitStack() as held:
        server = held.enter_context(running_server(tmp_path, program=program))
        assert server.stderr().count("event=few_descriptors limit=64") == 1
        for address in [server.address, server.metrics_url.split("/")[2]] * 60:
            host, port = address.split(":")
            held.enter_context(socket.create_connection((host, int(port))))
        for _ in range(3):
            assert server.metrics().value("process_open_fds") < 64


def test_a_ready_server_writes_its_addresses_to_the_log_and_the_ready_file(
    start_server: StartServer,
) -> None:
    server = start_server("--log-format", "json")
    (ready,) = (
        entry
        for line in server.stderr().splitlines()
        if (entry := json.loads(line))["event"] == "ready"
    )
    assert ready["address"] == server.address
    assert (ready["metrics"], ready["model"], ready["engine"]) == (
        server.metrics_url,
        "digits/4",
        "litert",
    )
    assert json.loads(server.ready_file.read_text()) == {
        "address": server.address,
        "metrics": server.metrics_url,
        "pid": server.process.pid,
    }


@pytest.mark.parametrize("path", [b"/\xff", SERVICE + b"\xc3", b"\xff" * 4000])
async def test_a_call_whose_path_is_no_text_is_unimplemented_and_the_server_stays(
    server: RunningServer, path: bytes
) -> None:
    # gRPC decodes the path in the loop that accepts calls; without our workaround the server closes its port.
    async with stub(server.address) as service:
        neighbour = Steady(await open_stream(service))
        for _ in range(2):
            status = await asyncio.to_thread(raw_call, server.address, path)
            assert status == grpc.StatusCode.UNIMPLEMENTED.value[0]
        await neighbour.flows()
        neighbour.stop()
        await neighbour.ended()


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_process_whose_port_grpc_closed_ends_so_that_another_one_starts(
    tmp_path: Path, workers: str
) -> None:
    # The fault that our loop works around closes the port of a server without the workaround.
    program = """if True:
        from inkstream_server.rpc import event_loop
        event_loop._NEXT_UNKNOWN_CALL = None
        if __name__ == "__main__":
            from inkstream_server.cli import main
            main()
    """
    script = tmp_path / "unguarded.py"
    script.write_text(program)
    flags = ["--workers", workers]
    with (
        pytest.raises(AssertionError, match="logged an error"),
        running_server(tmp_path, *flags, program=(sys.executable, str(script))) as server,
    ):
        await asyncio.to_thread(raw_call, server.address, b"/\xff")
        if workers == "1":
            assert await asyncio.to_thread(server.wait) == 1
            assert "inkstream-server: port: gRPC closed" in server.stderr()
        else:
            await eventually("another one", lambda: server.stderr().count("worker_serves") == 3)
            assert re.search("event=worker_died .*reason=.port: gRPC closed", server.stderr())
        assert "event=port_lost" in server.stderr()


async def test_items_and_streams_that_end_well_are_not_logged(
    start_server: StartServer,
) -> None:
    server = start_server()
    await eventually("the first lines", lambda: "event=ready" in server.stderr())
    before = server.stderr()
    async with stub(server.address) as service:
        stream = await open_stream(service)
        await stream.send(sequences=[1, 1], uint8=BLANK * 2)
        await stream.finish()
    assert server.stderr() == before


async def test_two_servers_never_share_a_port(server: RunningServer) -> None:
    ended = await asyncio.to_thread(run_server, "--port", server.address.rpartition(":")[2])
    assert ended.returncode == 1
    assert "cannot listen" in ended.stderr


@pytest.mark.slow
async def test_thousands_of_streams_at_once_are_all_accepted(
    start_server: StartServer,
) -> None:
    server = start_server(
        "--max-streams-per-connection", "4000"
    )  # All streams share a connection here.
    async with stub(server.address) as service:
        await (await open_stream(service)).finish()
        server.signal(
            signal.SIGSTOP
        )  # Streams that open now all arrive at once when the server continues.
        calls = [service.StreamRecognize() for _ in range(3000)]
        config = pb.StreamRecognizeRequest(config=pb.StreamConfig())
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(*(call.write(config) for call in calls))
            server.signal(signal.SIGCONT)
            codes = await asyncio.gather(*(finished(call) for call in calls))
    assert {*codes} == {grpc.StatusCode.OK}


async def finished(call: Any) -> grpc.StatusCode:
    """Half-close a call, read it to the end, and give its status."""
    with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # The caller checks the status.
        await call.done_writing()
        while await call.read() is not grpc.aio.EOF:
            pass
    code: grpc.StatusCode = await call.code()
    return code
