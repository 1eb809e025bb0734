"""Errors of the command line about servers, certificates and tokens."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from inkstream.cli.app import app

from tests.certificates import Authority
from tests.unit.client.fake_server import FakeServer


def error_of(*arguments: object) -> str:
    """Give the error of a rejected command line."""
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert result.exit_code == 2, result.output
    return " ".join(result.stderr.split())


@pytest.mark.parametrize("command", [("model",), ("bench",), ("demo",), ("eval", "a", "b")])
def test_an_invalid_address_is_rejected_by_the_name_of_the_flag(
    command: tuple[str, ...],
) -> None:
    error = error_of(*command, "--server", "localhost:abc")
    assert error.startswith("Error: --server: expected HOST:PORT such as")
    assert "got 'localhost:abc'; a port is a number from 1 to 65535" in error


def test_a_file_without_a_certificate_is_rejected_by_the_name_of_the_flag(
    tmp_path: Path,
) -> None:
    certificate, key = Authority().client().write(tmp_path, "client")
    assert (
        error_of("model", "--tls-ca", key) == f"Error: --tls-ca: {key} holds no certificate in PEM"
    )
    mixed = error_of("model", "--tls-cert", certificate, "--tls-key", certificate)
    assert mixed.startswith(f"Error: --tls-key: {certificate} holds no key in PEM")


def test_a_certificate_without_its_key_is_rejected_by_flags(tmp_path: Path) -> None:
    certificate, key = Authority().client().write(tmp_path, "client")
    for alone in (("--tls-cert", certificate), ("--tls-key", key)):
        assert error_of("model", *alone).startswith("Error: --tls-cert, --tls-key: go together")


def test_a_token_without_tls_is_rejected_by_flags(tmp_path: Path) -> None:
    (held := tmp_path / "token").write_text("till.secret\n")
    error = error_of("model", "--token-file", held)
    assert error.startswith("Error: --token-file: a token goes over TLS only: add --tls")
    assert "secret" not in error


def test_a_file_without_a_token_is_rejected(tmp_path: Path) -> None:
    (empty := tmp_path / "token").write_text("\n")
    assert error_of("model", "--token-without-tls", "--token-file", empty) == (
        f"Error: --token-file: {empty} holds no token in ASCII"
    )


def test_the_installed_command_prints_its_error_and_grpc_prints_nothing(fake: FakeServer) -> None:
    program = "import inkstream_command; inkstream_command.main()"
    command = [sys.executable, "-c", program, "model", "--tls", "--server", fake.address]
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 3
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"Error: the server at {fake.address} does not use TLS")
