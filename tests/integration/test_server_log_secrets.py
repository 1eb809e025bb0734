"""A real server whose callers put a token wherever it does not belong: no part of it may be logged."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from inkstream.v1 import recognition_service_pb2 as pb
from inkstream_server.access.allowance import Quota
from inkstream_server.access.tokens import make
from inkstream_server.logs.kinds import MOST_LINES
from inkstream_server.logs.lines import MOST_LINE

from tests.certificates import Authority
from tests.integration.conftest import RunningServer, StartServer
from tests.integration.raw_calls import SERVICE, raw_bytes, raw_call

OTHER_METHODS = (
    b"/grpc.health.v1.Health/Check",
    b"/grpc.health.v1.Health/Watch",
    b"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)
TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
PIECE = 10
"""Characters of a token that may not appear in a row."""

Call = dict[str, Any]


def odd_calls(token: bytes) -> Iterator[Call]:
    """Yield calls with a token in each place of a call where a text fits; arguments of `raw_call`."""
    half, bad = len(token) // 2, b"\xff" + token
    for headers in (
        [(b"authorization", b"Basic " + token)],
        [(b"authorization", b"Bearer " + bad)],
        [(b"authorization", b"Bearer " + token), (b"authorization", b"Bearer " + token)],
        [(b"authorization", b"Bearer " + token[:half]), (b"authorization", token[half:])],
        [(b"authorization-bin", base64.b64encode(bad))],
        [(b"authorization-bin", token)],
        [(b"authorization", token * 400)],
        [(b"cookie", bad), (b"x-" + token.lower(), b"1")],
        [(b"x-\xff" + token.lower(), b"1")],
        [(b"x-key\r\n" + token.lower(), b"a\r\nb: " + token)],
        [(b"traceparent", token), (b"tracestate", token), (b"baggage", bad)],
        [(b"traceparent", b"00-" + bad), (b"tracestate", token + b"=" + token)],
        [(b"traceparent", TRACE), (b"tracestate", b"%s,a=%s" % (token, token))],
        [(b"user-agent", bad), (b"referer", b"\x1b[31m" + token)],
        [(b"grpc-timeout", token)],
        [(b"grpc-encoding", token)],
        [(b"grpc-accept-encoding", bad)],
        [(b"content-type", token)],
    ):
        yield {"headers": headers}
    for path in (b"/" + token, SERVICE + token, b"/" + bad, token, b"/%ff?" + token):
        yield {"path": path}
    for authority in (token, bad, token + 64 * b"a", b"user:" + token + b"@host"):
        yield {"authority": authority}
    text = f"\x1b[31m\r\n\u202e{token.decode()}"
    for request in (
        pb.StreamRecognizeRequest(config=pb.StreamConfig(client_label=text)),
        pb.StreamRecognizeRequest(config=pb.StreamConfig(client_label=token.decode())),
        pb.StreamRecognizeRequest(config=pb.StreamConfig(model=text)),
    ):
        yield {"body": request.SerializeToString()}
    yield {
        "path": SERVICE + b"GetModel",
        "body": pb.GetModelRequest(model=text).SerializeToString(),
    }
    for method in (b"StreamRecognize", b"Recognize", b"GetModel"):
        yield {"path": SERVICE + method, "body": bad}
    for path in OTHER_METHODS:
        yield {"path": path, "body": bad}
    yield from [{"headers": [(b"x-key", bad)]}] * MOST_LINES


def odd_requests(token: bytes) -> Iterator[bytes]:
    """Yield requests of HTTP/1 with a token where it does not belong."""
    for line in (
        b"GET /%s",
        b"GET /metrics?name[]=%s",
        b"GET http://[%s",
        b"%s /",
        b"GET /\xff%s\x1b",
    ):
        yield line % token + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for header in (
        b"Accept: application/openmetrics-text; version=%s",
        b"Accept: text/plain; version=\xff%s",
        b"Accept-Encoding: %s",
        b"Content-Length: %s",
        b"Host: %s" + 64 * b"a",
        b"\xff%s",
    ):
        yield b"GET /metrics HTTP/1.1\r\n" + header % token + b"\r\n\r\n"
    yield token + b"\r\n\r\n"


def attack(server: RunningServer, token: str, tls_name: str | None) -> None:
    """Do all of it; the server must go on answering."""
    secret = token.encode()
    with_token = [(b"authorization", b"Bearer " + secret)]
    calls = []
    with ThreadPoolExecutor(8) as pool:  # gRPC answers some malformed calls only after a second.
        for call in odd_calls(secret):
            given = [it for it in call.get("headers", ()) if it[0] != b"authorization"]
            for each in (call, {**call, "headers": with_token + given}):
                calls.append(pool.submit(raw_call, server.address, **each, tls_name=tls_name))
    for done in calls:
        done.result()
    if tls_name is not None:
        raw_call(server.address, headers=with_token, tls_name=secret.decode() + 64 * "a")
    page = server.metrics_url.removeprefix("http://").removesuffix("/metrics")
    for request in odd_requests(secret):
        for port in (page, server.address):
            raw_bytes(port, request)
    raw_bytes(server.address, b"\x16\x03\x01\x02\x00\x01\x00" + secret)
    assert server.metrics().value("inkstream_streams") == 0


@pytest.mark.parametrize(
    ("log_format", "workers"),
    [("text", "1"), ("json", "1"), pytest.param("json", "2", marks=pytest.mark.slow)],
)
async def test_no_part_of_a_token_is_logged_wherever_a_caller_puts_it(
    start_server: StartServer, tmp_path: Path, log_format: str, workers: str
) -> None:
    token, line = make("school-7", Quota())
    flags = ["--log-format", log_format, "--log-level", "debug", "--workers", workers]
    if log_format == "text":
        certificate, key = Authority().server().write(tmp_path, "server")
        (tmp_path / "tokens").write_text(line)
        flags += ["--tls-cert", str(certificate), "--tls-key", str(key)]
        flags += ["--tokens", str(tmp_path / "tokens")]
    else:
        flags += ["--traces", "console"]
    server = start_server(*flags)
    tls_name = "localhost" if log_format == "text" else None
    await asyncio.to_thread(attack, server, token, tls_name)
    server.signal()
    assert await asyncio.to_thread(server.wait) == 0

    log = server.stderr_file.read_bytes()
    secret = token.partition(".")[2]
    for hidden in (secret, secret.lower(), base64.b64encode(b"\xff" + token.encode()).decode()):
        for at in range(len(hidden) - PIECE + 1):
            assert hidden[at : at + PIECE].encode() not in log, log.decode()
    lines = log.decode().splitlines()
    assert log.decode().split("\n")[:-1] == lines
    for each in lines:
        assert each.isprintable()
        assert len(each.encode()) < MOST_LINE
        assert each.startswith("timestamp=") if log_format == "text" else json.loads(each)["event"]
    assert any("header_not_utf8" in each for each in lines)
    if log_format == "json":
        assert any("opentelemetry" in each for each in lines)
    assert any("log_lines_omitted" in each and "header_not_utf8" in each for each in lines)
    assert any("stream_opened" in each and "other" in each for each in lines)
