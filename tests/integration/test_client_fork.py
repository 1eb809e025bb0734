"""Clients and `os.fork`: a new client works in a child, an inherited one raises, the parent continues."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.integration.conftest import RunningServer, StartServer

PROGRAMS = [
    "new_client_in_child",
    "fork_after_close",
    "fork_before_any_client",
    "grpc_of_the_program",
    "two_generations",
    "inherited",
    "inherited_future",
    "busy_parent",
    "pools",
    "async_parent",
]
SECONDS = 120
"""Longest time of a program; the alarms of its children are shorter."""


def run(*command: str, **environment: str) -> None:
    ended = subprocess.run(
        [sys.executable, *command],
        env=os.environ | environment,
        check=False,
        timeout=SECONDS,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes are spawned by default")
class TestFork:
    @pytest.mark.parametrize("program", PROGRAMS)
    def test_parent_and_child_both_continue(self, server: RunningServer, program: str) -> None:
        run("-m", "tests.integration.forking", program, server.address)

    def test_fork_handlers_of_grpc_cause_no_crash(self, server: RunningServer) -> None:
        program = "busy_parent"
        command = ["-m", "tests.integration.forking", program, server.address]
        run(*command, GRPC_ENABLE_FORK_SUPPORT="1")

    def test_a_program_may_import_grpc_first(self, server: RunningServer) -> None:
        code = "import grpc, sys; from tests.integration import forking; forking.{}(sys.argv[1])"
        run("-c", code.format("new_client_in_child"), server.address)

    def test_a_child_encrypts_as_its_parent(
        self, start_server: StartServer, tmp_path: Path
    ) -> None:
        authority = Authority()
        certificate, key = authority.server().write(tmp_path, "server")
        (tmp_path / "ca.pem").write_bytes(authority.certificate)
        server = start_server("--tls-cert", str(certificate), "--tls-key", str(key))
        command = ["-m", "tests.integration.forking", "encrypted", server.address]
        run(*command, str(tmp_path / "ca.pem"))

    def test_the_environment_stays_as_it_was(self) -> None:
        code = "import inkstream, os; assert 'GRPC_ENABLE_FORK_SUPPORT' not in os.environ"
        run("-c", code)
