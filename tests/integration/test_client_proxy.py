"""A proxy in the environment: loopback is reached without it, and errors of other hosts name it."""

from __future__ import annotations

import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from os import environ
from pathlib import Path

import pytest

from tests.integration.boards import running_board
from tests.integration.conftest import RunningServer

VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")
SECONDS = 100


@pytest.fixture
def silent_proxy() -> Iterator[str]:
    """A proxy that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def refusing_proxy() -> str:
    """A proxy that is down."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"127.0.0.1:{listening.getsockname()[1]}"


def environment(proxy: str, *variables: str) -> dict[str, str]:
    known = {name for it in (*VARIABLES, "no_proxy", "no_grpc_proxy") for name in (it, it.upper())}
    rest = {name: value for name, value in environ.items() if name not in known}
    return rest | dict.fromkeys(variables, f"http://{proxy}")


def run(settings: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "inkstream", *arguments],
        env=settings,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.mark.parametrize("variable", [*VARIABLES, "HTTP_PROXY"])
def test_a_server_on_this_machine_is_reached_directly(
    server: RunningServer, silent_proxy: str, variable: str
) -> None:
    ended = run(environment(silent_proxy, variable), "ping", "--server", server.address)
    assert ended.returncode == 0, ended.stderr


def test_the_demo_works_beside_a_proxy(silent_proxy: str) -> None:
    settings = environment(silent_proxy, *VARIABLES, "HTTP_PROXY")
    ended = run(settings, "demo", "--images", "100")
    assert ended.returncode == 0, ended.stderr


def test_the_board_works_beside_a_proxy(silent_proxy: str) -> None:
    settings = environment(silent_proxy, *VARIABLES, "HTTP_PROXY")
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with (
        running_board(None, environment=settings) as board,
        direct.open(board.address, timeout=SECONDS) as page,
    ):
        assert page.status == 200


@pytest.mark.parametrize("variable", VARIABLES)
def test_an_error_names_the_proxy_that_refuses(refusing_proxy: str, variable: str) -> None:
    settings = environment(refusing_proxy, variable)
    ended = run(settings, "ping", "--server", "192.0.2.1:50051")
    assert ended.returncode == 3
    assert (
        f"192.0.2.1:50051 through the proxy {refusing_proxy} that {variable} names" in ended.stderr
    )


def test_an_error_names_the_proxy_that_is_silent(silent_proxy: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import inkstream, numpy\n"
        "once = inkstream.RetryPolicy(attempts=0)\n"
        "with inkstream.Client('192.0.2.1:50051', connect_timeout=0.5, retry=once) as client:\n"
        "    for use in (lambda: client.recognize(numpy.zeros((28, 28))), client.model):\n"
        "        try: use()\n"
        "        except inkstream.RetryableError as error: print(error)\n"
    )
    ended = subprocess.run(
        [sys.executable, str(program)],
        env=environment(silent_proxy, "http_proxy"),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    assert ended.stdout.count(f"through the proxy {silent_proxy} that http_proxy names") == 2
