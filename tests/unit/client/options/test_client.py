from __future__ import annotations

import re
import shutil
import subprocess
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
from inkstream import AccessDenied, Client, ConnectionFailed, InvalidRequest, Tls
from inkstream._options.client import Options
from inkstream.v1 import recognition_service_pb2_grpc

from tests.unit.client.fake_server import FakeServer, frame

wrong_options: list[dict[str, Any]] = [
    {"retry": 5},
    {"retry": 0},
    {"top_k": "3"},
    {"top_k": 11},
    {"top_k": 2.5},
    {"model": 7},
    {"client_label": "kiosk berlin 7"},
    {"client_label": "-till"},
    {"client_label": "till\n"},
    {"client_label": "a" * 33},
    {"client_label": None},
    {"connect_timeout": "1"},
    {"connect_timeout": 0},
    {"connect_timeout": float("inf")},
    {"packet_ms": None},
    {"buffer": "9"},
    {"ink_buffer": 0.5},
    {"on_state": 3},
    {"tls": "ca.pem"},
]


@pytest.mark.parametrize("wrong", wrong_options, ids=str)
def test_an_option_of_the_wrong_kind_is_refused_by_name(wrong: dict[str, Any]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(InvalidRequest, match=f"^{name}: expected .*got {re.escape(repr(value))}"):
        Client("localhost:1", **wrong)


@pytest.mark.parametrize("label", ["", "a", "7", "A.b_c-9", "a" * 32])
def test_a_label_that_the_server_can_count_is_accepted(label: str) -> None:
    assert Options("localhost:1", client_label=label).stream_config().client_label == label


@pytest.mark.parametrize("deadline", ["a", 0, -1.0, float("nan"), float("inf"), 1e10, (1,)])
def test_an_invalid_deadline_is_refused_by_name(deadline: Any, fake: FakeServer) -> None:
    with Client(fake.address) as client:
        for use in (
            client.recognize,
            client.submit,
            lambda *a, **k: list(client.stream([*a], **k)),
        ):
            with pytest.raises(InvalidRequest, match=r"^deadline: expected seconds above 0"):
                use(frame(1), deadline=deadline)
        assert client.recognize(frame(1), deadline=4_000_000).digit == 1


openssl = shutil.which("openssl")


@pytest.mark.skipif(openssl is None, reason="openssl makes the certificates of this test")
def test_a_connection_is_encrypted_and_both_sides_are_authenticated(
    tmp_path: Path, fake: FakeServer
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = [str(openssl), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    pem, secret = certificate.read_bytes(), key.read_bytes()
    server = grpc.server(futures.ThreadPoolExecutor(4))
    recognition_service_pb2_grpc.add_RecognitionServiceServicer_to_server(fake, server)
    credentials = grpc.ssl_server_credentials(
        [(secret, pem)], root_certificates=pem, require_client_auth=True
    )
    address = f"localhost:{server.add_secure_port('localhost:0', credentials)}"
    server.start()
    try:
        known = Tls(root_certificates=pem, certificate_chain=pem, private_key=secret)
        for tls in (known, known.credentials()):
            with Client(address, tls=tls) as client:
                assert client.recognize(frame(7)).digit == 7
        for unknown in (Tls(), Tls(root_certificates=pem), None):
            with (
                Client(address, tls=unknown, connect_timeout=5) as client,
                pytest.raises((ConnectionFailed, AccessDenied)),
            ):
                client.recognize(frame(7))
    finally:
        server.stop(None).wait()
