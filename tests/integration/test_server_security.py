"""Access to a real server: TLS, mutual TLS, tokens and their limits."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from click.testing import CliRunner
from grpc_health.v1 import health_pb2, health_pb2_grpc
from inkstream import (
    AccessDenied,
    AsyncClient,
    ConnectionEvent,
    ConnectionFailed,
    InvalidRequest,
    Overloaded,
    Tls,
)
from inkstream.cli.app import app
from inkstream.v1 import error_pb2
from inkstream.v1 import recognition_service_pb2 as pb
from inkstream.v1.recognition_service_pb2_grpc import RecognitionServiceStub
from inkstream_server.access.allowance import Quota
from inkstream_server.access.tokens import make

from tests.certificates import Authority, Pem
from tests.integration.conftest import RunningServer, StartServer
from tests.integration.contract import Stream, open_stream
from tests.patience import PATIENCE_SECONDS, eventually

BLANK = np.zeros((28, 28), np.uint8)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def tls_flags(folder: Path, pem: Pem) -> list[str]:
    certificate, key = pem.write(folder, "server")
    return ["--tls-cert", str(certificate), "--tls-key", str(key)]


def write(file: Path, *lines: str) -> Path:
    unfinished = file.with_suffix(".new")
    unfinished.write_text("\n".join(lines))
    return unfinished.replace(file)


def local(server: RunningServer) -> str:
    """The address by the name that certificates are for."""
    return f"localhost:{server.address.rpartition(':')[2]}"


@asynccontextmanager
async def knocking(
    server: RunningServer, authority: Authority, token: str = ""
) -> AsyncIterator[Any]:
    """A stub over TLS on its own connection, with a token for every call."""
    credentials = grpc.ssl_channel_credentials(authority.certificate)
    if token:
        credentials = grpc.composite_channel_credentials(
            credentials, grpc.access_token_call_credentials(token)
        )
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.secure_channel(local(server), credentials, options=options) as channel:
        yield RecognitionServiceStub(channel)


async def status_of(call: Any) -> grpc.StatusCode:
    async with asyncio.timeout(PATIENCE_SECONDS):
        code: grpc.StatusCode = await call.code()
        return code


async def test_a_connection_is_encrypted_and_plain_text_gets_no_answer(
    start_server: StartServer, tmp_path: Path, authority: Authority
) -> None:
    server = start_server(*tls_flags(tmp_path, authority.server()))
    tls = Tls(root_certificates=authority.certificate)
    async with AsyncClient(local(server), tls=tls) as client:
        assert (await client.recognize(BLANK)).digit in range(10)
    async with AsyncClient(local(server), connect_timeout=5) as client:
        with pytest.raises(ConnectionFailed, match="does it expect TLS"):
            await client.recognize(BLANK)


async def test_the_clients_error_names_the_fault_of_a_servers_certificate(
    start_server: StartServer, tmp_path: Path, authority: Authority
) -> None:
    server = start_server(*tls_flags(tmp_path, authority.server()))
    ours = Tls(authority.certificate)
    await _distrusts(server, Tls(), "local issuer")
    await _distrusts(server, Tls(Authority().certificate), "local issuer")
    authority.server("elsewhere.example").write(tmp_path, "server")
    await _distrusts(server, ours, "Hostname")
    authority.server(ends=datetime.now(UTC) - timedelta(days=1)).write(tmp_path, "server")
    await _distrusts(server, ours, "expired")


async def _distrusts(server: RunningServer, tls: Tls, why: str) -> None:
    async with AsyncClient(local(server), tls=tls, connect_timeout=5) as client:
        with pytest.raises(ConnectionFailed, match=rf"is not trusted \(.*{why}.*signed by"):
            await client.recognize(BLANK)


async def test_with_mutual_tls_only_clients_of_the_authority_can_call(
    start_server: StartServer, tmp_path: Path, authority: Authority
) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(authority.certificate)
    flags = tls_flags(tmp_path, authority.server())
    server = start_server(*flags, "--tls-client-ca", str(ca))
    known = authority.client()
    stranger = Authority().client()
    root = authority.certificate
    async with AsyncClient(local(server), tls=Tls(root, known.certificate, known.key)) as client:
        assert (await client.recognize(BLANK)).digit in range(10)
    for tls in (Tls(root), Tls(root, stranger.certificate, stranger.key)):
        async with AsyncClient(local(server), tls=tls, connect_timeout=5) as client:
            with pytest.raises(ConnectionFailed):
                await client.recognize(BLANK)


async def test_renewed_certificates_apply_to_new_connections_and_open_ones_continue(
    start_server: StartServer, tmp_path: Path, authority: Authority
) -> None:
    server = start_server(*tls_flags(tmp_path, authority.server()))
    renewer = Authority()
    async with AsyncClient(local(server), tls=Tls(authority.certificate)) as before:
        await before.recognize(BLANK)
        renewer.server().write(tmp_path, "server")
        async with AsyncClient(local(server), tls=Tls(renewer.certificate)) as after:
            await after.recognize(BLANK)
        await before.recognize(BLANK)
    assert 'event="certificates renewed"' in server.stderr()


async def test_after_a_broken_renewal_the_old_certificates_stay_in_use(
    start_server: StartServer, tmp_path: Path, authority: Authority
) -> None:
    server = start_server(*tls_flags(tmp_path, authority.server()))
    (tmp_path / "server.key").write_bytes(Authority().server().key)
    async with AsyncClient(local(server), tls=Tls(authority.certificate)) as client:
        await client.recognize(BLANK)
    assert 'event="certificates kept"' in server.stderr()
    assert "PRIVATE KEY" not in server.stderr()


async def test_only_a_valid_token_may_call_and_the_health_check_needs_none(
    start_server: StartServer, tmp_path: Path, authority: Authority
) -> None:
    token, line = make("school-7", Quota())
    tokens = write(tmp_path / "tokens", line)
    server = start_server(*tls_flags(tmp_path, authority.server()), "--tokens", str(tokens))
    async with AsyncClient(local(server), tls=Tls(authority.certificate), token=token) as client:
        assert (await client.recognize(BLANK)).digit in range(10)
        assert (await client.model()).name == "digits"
    for wrong in ("", "school-7.wrong", token[:-1]):
        async with knocking(server, authority, wrong) as service:
            assert await status_of(service.GetModel(pb.GetModelRequest())) is UNAUTHENTICATED
            assert await status_of(service.StreamRecognize()) is UNAUTHENTICATED
            assert await status_of(service.Recognize(pb.RecognizeRequest())) is UNAUTHENTICATED
    async with AsyncClient(local(server), tls=Tls(authority.certificate), token="a.b") as client:
        with pytest.raises(AccessDenied, match="pass the `token` that the server knows"):
            await client.recognize(BLANK)
    credentials = grpc.ssl_channel_credentials(authority.certificate)
    async with grpc.aio.secure_channel(local(server), credentials) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    refused = server.metrics().total("grpc_server_handled_total", grpc_code="UNAUTHENTICATED")
    assert refused == 10


UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED


async def test_no_token_and_no_digest_is_ever_logged(
    start_server: StartServer, tmp_path: Path, authority: Authority
) -> None:
    token, line = make("school-7", Quota(streams=1))
    wrong = make("school-7", Quota())[0]
    tokens = write(tmp_path / "tokens", line)
    flags = tls_flags(tmp_path, authority.server())
    server = start_server(*flags, "--tokens", str(tokens), "--log-level", "debug")
    for given in (token, wrong):
        async with knocking(server, authority, given) as service:
            await status_of(service.GetModel(pb.GetModelRequest(model=given)))
    write(tokens, line, "spoiled " + line.split()[1][:-1])
    await eventually("the broken file is logged", lambda: "tokens kept" in server.stderr())
    write(tokens, make("another", Quota())[1])
    await eventually("the file is read again", lambda: "tokens read" in server.stderr())
    server.signal()
    await asyncio.to_thread(server.wait)
    for secret in (token, wrong):
        assert secret.partition(".")[2] not in server.stderr()
    assert line.split()[1].removeprefix("sha256:")[:-1] not in server.stderr()
    assert "PRIVATE KEY" not in server.stderr()


async def test_a_revoked_token_ends_its_own_streams_only(
    start_server: StartServer, tmp_path: Path, authority: Authority
) -> None:
    (leaver, leaver_line), (stayer, stayer_line) = make("leaver", Quota()), make("stayer", Quota())
    tokens = write(tmp_path / "tokens", leaver_line, stayer_line)
    server = start_server(*tls_flags(tmp_path, authority.server()), "--tokens", str(tokens))
    async with (
        knocking(server, authority, leaver) as leavers,
        knocking(server, authority, stayer) as stayers,
    ):
        leaving, staying = await open_stream(leavers), await open_stream(stayers)
        await leaving.send(sequences=[1], uint8=bytes(784))
        await leaving.receive_until(1)
        write(tokens, stayer_line)
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await leaving.receive_all()
        assert ended.value.code() is UNAUTHENTICATED
        assert leaving.answers.draining
        assert await status_of(leavers.GetModel(pb.GetModelRequest())) is UNAUTHENTICATED
        await staying.send(sequences=[1], uint8=bytes(784))
        await staying.finish()
        assert [*staying.answers.digits] == [1]


async def test_a_token_file_that_is_emptied_or_cut_ends_no_stream_and_a_new_token_gets_in(
    start_server: StartServer, tmp_path: Path
) -> None:
    (stayer, staying_line), (comer, coming_line) = make("stayer", Quota()), make("comer", Quota())
    tokens = write(tmp_path / "tokens", staying_line)
    server = start_server("--tokens", str(tokens))
    events: list[ConnectionEvent] = []
    async with AsyncClient(
        server.address, token=stayer, token_without_tls=True, on_state=events.append
    ) as client:
        await client.recognize(BLANK)
        cut(tokens)
        await eventually(
            "the empty file is refused",
            lambda: server.metrics().value("inkstream_tokens_refused") == 1,
        )
        await client.recognize(BLANK)
        # The file is written anew in two pieces; meanwhile somebody comes with a token in the second.
        cut(tokens, staying_line + "\n" + coming_line[:40])
        async with AsyncClient(server.address, token=comer, token_without_tls=True) as coming:
            first = asyncio.create_task(coming.recognize(BLANK))
            await client.recognize(BLANK)
            cut(tokens, f"{staying_line}\n{coming_line}\n")
            await first
        await client.recognize(BLANK)
        await eventually(
            "the file is in use",
            lambda: server.metrics().value("inkstream_tokens_refused") == 0,
        )
    assert [event.state.value for event in events] == ["connecting", "open", "closed"]
    assert server.stderr().count('event="tokens kept"') == 1


def cut(file: Path, content: str = "") -> None:
    """Write a file in place, as editors and redirects do."""
    file.write_text(content)


async def test_each_token_has_its_own_limits_of_streams_and_items_a_second(
    start_server: StartServer, tmp_path: Path, authority: Authority
) -> None:
    limited, limited_line = make("limited", Quota(streams=1, items_per_second=5))
    free, free_line = make("free", Quota())
    tokens = write(tmp_path / "tokens", limited_line, free_line)
    server = start_server(*tls_flags(tmp_path, authority.server()), "--tokens", str(tokens))
    async with (
        knocking(server, authority, limited) as service,
        knocking(server, authority, free) as others,
    ):
        stream = await open_stream(service)
        second: Stream = Stream(service.StreamRecognize())
        assert await status_of(second.call) is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "token 'limited' has 1 open" in await second.call.details()
        await stream.send(sequences=range(8), uint8=bytes(784 * 8))
        answers = await stream.receive_until(8)
        assert len(answers.digits) >= 5
        for error in answers.errors.values():
            assert error.code == error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED
            assert 1 <= error.retry_after_ms <= 1000
        # The items of one second are used up, and unary calls count towards the same limit.
        unary = await service.Recognize(pb.RecognizeRequest(tensors={"uint8": bytes(784 * 64)}))
        assert len(unary.errors) >= 58
        free_stream = await open_stream(others)
        await free_stream.send(sequences=range(64), uint8=bytes(784 * 64))
        assert len((await free_stream.receive_until(64)).digits) == 64
        await stream.finish()
        await free_stream.finish()
        # The stream that ended makes room.
        await (await open_stream(service)).finish()


async def test_a_client_at_its_limit_gets_overloaded_with_a_retry_after(
    start_server: StartServer, tmp_path: Path, authority: Authority
) -> None:
    token, line = make("slow", Quota(items_per_second=1))
    tokens = write(tmp_path / "tokens", line)
    server = start_server(*tls_flags(tmp_path, authority.server()), "--tokens", str(tokens))
    async with AsyncClient(local(server), tls=Tls(authority.certificate), token=token) as client:
        with pytest.raises(Overloaded) as refused:
            await client.recognize(np.zeros((50, 28, 28), np.uint8))
    assert refused.value.retry_after == pytest.approx(0.5, abs=0.5)


async def test_an_idle_stream_gets_a_drain_notice_and_is_then_ended(
    start_server: StartServer,
) -> None:
    server = start_server("--max-stream-idle", "0.2")
    async with grpc.aio.insecure_channel(server.address) as channel:
        stream = await open_stream(RecognitionServiceStub(channel))
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await stream.receive_all()
    assert stream.answers.draining
    assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "idle for too long" in str(ended.value.details())


async def test_a_client_opens_a_new_stream_when_its_stream_is_ended(
    start_server: StartServer,
) -> None:
    server = start_server("--max-stream-age", "0.2", "--max-stream-idle", "0.1")
    async with AsyncClient(server.address) as client:
        for _ in range(3):
            assert (await client.recognize(BLANK)).digit in range(10)
            streams = server.metrics().value("inkstream_streams")
            await eventually(
                "the stream ends",
                lambda: server.metrics().value("inkstream_streams") == 0,
            )
            assert streams <= 1


async def test_streams_beyond_the_limit_are_refused(start_server: StartServer) -> None:
    server = start_server("--max-streams", "1")
    async with grpc.aio.insecure_channel(server.address) as channel:
        service = RecognitionServiceStub(channel)
        stream = await open_stream(service)
        call = service.StreamRecognize()
        assert await status_of(call) is grpc.StatusCode.RESOURCE_EXHAUSTED
        await stream.finish()
        await (await open_stream(service)).finish()


def serve(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "inkstream_server", "serve", "--port", "0"]
    return subprocess.run(
        [*command, "--metrics-port", "0", *flags],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--host", "0.0.0.0"], "host: 0.0.0.0 can be reached from elsewhere, and nothing is"),
        (["--tokens", "/nowhere/tokens"], "tokens: cannot read /nowhere/tokens"),
        (
            ["--tls-cert", "/nowhere/c", "--tls-key", "/nowhere/k"],
            "tls_cert: cannot read /nowhere/c",
        ),
    ],
)
def test_a_server_does_not_start_if_its_access_files_are_unusable(
    flags: list[str], expected: str
) -> None:
    ended = serve(*flags)
    assert ended.returncode == 1
    assert expected in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


async def test_an_open_port_without_tls_needs_a_flag_and_logs_a_warning(
    start_server: StartServer,
) -> None:
    server = start_server("--host", "0.0.0.0", "--insecure-listen")
    assert 'event="not encrypted"' in server.stderr()
    async with AsyncClient(server.address.replace("0.0.0.0", "127.0.0.1")) as client:
        assert (await client.recognize(BLANK)).digit in range(10)


def test_a_token_goes_over_tls_only_unless_told() -> None:
    for given in ({"token": "a.b"}, {"metadata": (("Authorization", "Bearer a.b"),)}):
        with pytest.raises(InvalidRequest, match="token: goes over TLS only"):
            AsyncClient("localhost:1", **given)
        AsyncClient("localhost:1", token_without_tls=True, **given)


async def test_the_command_line_reads_certificates_and_tokens_from_files(
    start_server: StartServer, tmp_path: Path, authority: Authority
) -> None:
    token, line = make("till", Quota())
    tokens = write(tmp_path / "tokens", line)
    held = write(tmp_path / "token", token + "\n")
    ca = tmp_path / "ca.pem"
    ca.write_bytes(authority.certificate)
    own_certificate, own_key = authority.client().write(tmp_path, "client")
    flags = tls_flags(tmp_path, authority.server())
    server = start_server(*flags, "--tls-client-ca", str(ca), "--tokens", str(tokens))

    def model(*options: str) -> Any:
        return CliRunner().invoke(app, ["model", "--server", local(server), *options])

    tls = ["--tls-ca", str(ca), "--tls-cert", str(own_certificate), "--tls-key", str(own_key)]
    good = await asyncio.to_thread(model, *tls, "--token-file", str(held))
    assert good.exit_code == 0, good.stderr
    assert "digits" in good.stdout
    without = await asyncio.to_thread(model, *tls)
    assert (without.exit_code, "UNAUTHENTICATED" in without.stderr) == (1, True)
    plain = await asyncio.to_thread(model, "--token-file", str(held))
    assert (plain.exit_code, "goes over TLS only" in plain.stderr) == (2, True)
    assert token.partition(".")[2] not in without.stderr + plain.stderr
