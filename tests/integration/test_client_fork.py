"""Clients and `os.fork`: a child makes its own, what it inherits raises, and the parent goes on."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.integration.conftest import RunningServer

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
"""Longest that a program may take; its children give up before."""


def run(server: RunningServer, *command: str, **environment: str) -> None:
    ended = subprocess.run(
        [sys.executable, *command, server.address],
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
    def test_parent_and_child_both_go_on(self, server: RunningServer, program: str) -> None:
        run(server, "-m", "tests.integration.forking", program)

    def test_fork_handlers_of_grpc_do_no_harm(self, server: RunningServer) -> None:
        program = "busy_parent"
        run(server, "-m", "tests.integration.forking", program, GRPC_ENABLE_FORK_SUPPORT="1")

    def test_a_program_may_import_grpc_first(self, server: RunningServer) -> None:
        code = "import grpc, sys; from tests.integration import forking; forking.{}(sys.argv[1])"
        run(server, "-c", code.format("new_client_in_child"))

    def test_the_environment_stays_as_it_was(self, server: RunningServer) -> None:
        code = "import inkstream, os; assert 'GRPC_ENABLE_FORK_SUPPORT' not in os.environ"
        run(server, "-c", code)
