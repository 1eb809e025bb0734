"""Callers that have only the contract: `buf curl`, health probes, other versions of protobuf."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import inkstream
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.conftest import Mnist
from tests.integration.conftest import RunningServer

BUF = Path(sys.executable).with_name("buf")
needs_buf = pytest.mark.skipif(
    not BUF.exists(), reason="buf is not installed: pip install -r requirements-dev.txt"
)
SERVICE = "inkstream.v1.RecognitionService"


def buf_curl(server: RunningServer, folder: Path, method: str, *messages: Any) -> list[Any]:
    """Call a method with JSON messages, by the server's reflection alone."""
    command = [str(BUF), "curl", "--protocol", "grpc", "--http2-prior-knowledge"]
    command += ["--data", "@-", f"http://{server.address}/{SERVICE}/{method}"]
    ended = subprocess.run(
        command,
        input="\n".join(map(json.dumps, messages)),
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env={"HOME": str(folder), "PATH": ""},
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    decoder = json.JSONDecoder()
    rest, answers = ended.stdout.strip(), []
    while rest:
        answer, end = decoder.raw_decode(rest)
        answers.append(answer)
        rest = rest[end:].lstrip()
    return answers


@needs_buf
def test_a_client_from_the_contract_alone_gets_the_model(
    server: RunningServer, tmp_path: Path
) -> None:
    (answer,) = buf_curl(server, tmp_path, "GetModel", {})
    assert answer["model"]["name"] == "digits"
    assert json.loads(answer["model"]["cardJson"])


@needs_buf
def test_a_client_from_the_contract_alone_recognises_digits_in_one_call(
    server: RunningServer, tmp_path: Path, mnist: Mnist
) -> None:
    frames = base64.b64encode(mnist[0][:5].tobytes()).decode()
    (answer,) = buf_curl(
        server, tmp_path, "Recognize", {"tensors": {"uint8": frames}, "answers": {"topK": 2}}
    )
    (group,) = answer["tensors"]
    assert group["digits"] == mnist[1][:5].tolist()
    assert len(group["topDigits"]) == 10


@needs_buf
def test_a_client_from_the_contract_alone_uses_a_stream(
    server: RunningServer, tmp_path: Path, mnist: Mnist
) -> None:
    def tensors(first: int, count: int, size: int = 784) -> dict[str, Any]:
        frames = mnist[0].reshape(-1, 784)[first : first + count, :size]
        numbers = [str(number) for number in range(first, first + count)]
        content = base64.b64encode(frames.tobytes()).decode()
        return {"tensors": {"sequences": numbers, "uint8": content}}

    answers = buf_curl(
        server,
        tmp_path,
        "StreamRecognize",
        {"config": {"clientLabel": "buf"}},
        tensors(0, 3),
        tensors(3, 1, size=700),
        tensors(4, 4),
    )
    assert answers[0]["opened"]["window"] == 4096
    assert answers[0]["opened"]["model"]["name"] == "digits"
    digits = {
        int(number): digit
        for answer in answers
        for group in answer.get("tensors", [])
        for number, digit in zip(group["sequences"], group["digits"], strict=True)
    }
    assert digits == {number: mnist[1][number] for number in (0, 1, 2, 4, 5, 6, 7)}
    (error,) = (error for answer in answers for error in answer.get("errors", []))
    assert (error["sequence"], error["code"]) == ("3", "ERROR_CODE_INVALID_ARGUMENT")


@pytest.mark.parametrize("service", ["", SERVICE])
async def test_health_probes_are_answered(server: RunningServer, service: str) -> None:
    async with grpc.aio.insecure_channel(server.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await health.Check(health_pb2.HealthCheckRequest(service="unknown"))
        assert failure.value.code() is grpc.StatusCode.NOT_FOUND


def test_the_generated_code_runs_beside_protobuf_6_and_7() -> None:
    # A runtime accepts code of its own major version and of the one before.
    generated = sorted((Path(inkstream.__file__).parent / "v1").glob("*_pb2.py"))
    assert len(generated) == 5
    for file in generated:
        assert "# Protobuf Python Version: 6." in file.read_text(), file
