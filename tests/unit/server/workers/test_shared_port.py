from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from inkstream_server.errors import StartError
from inkstream_server.workers.shared_port import held


@contextmanager
def listener(port: int, *, shared: bool) -> Iterator[socket.socket]:
    with socket.socket() as it:
        it.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        it.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
        it.bind(("127.0.0.1", port))
        it.listen()
        yield it


def test_a_held_port_can_be_shared_and_is_refused_to_others() -> None:
    with held("127.0.0.1", 0) as port:
        with listener(port, shared=True), listener(port, shared=True):
            pass
        with pytest.raises(OSError, match="in use"), listener(port, shared=False):
            pass


def test_no_connection_arrives_at_the_socket_that_holds_the_port() -> None:
    with held("127.0.0.1", 0) as port:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        with listener(port, shared=True) as worker:
            for _ in range(20):
                with socket.create_connection(("127.0.0.1", port)):
                    worker.accept()[0].close()


@pytest.mark.parametrize("shared", [False, True])
def test_a_port_in_use_is_refused_even_if_it_is_shared(shared: bool) -> None:
    with listener(0, shared=shared) as other:
        port = other.getsockname()[1]
        output = rf"port: cannot listen on 127.0.0.1:{port} .*choose another --port, or 0"
        with pytest.raises(StartError, match=output), held("127.0.0.1", port):
            pass


def test_a_port_is_free_again_afterwards() -> None:
    with held("127.0.0.1", 0) as port:
        pass
    with held("127.0.0.1", port) as again:
        assert again == port


@pytest.mark.parametrize("host", ["0.0.0.0", "localhost"])
def test_all_addresses_of_a_host_are_held(host: str) -> None:
    with (
        held(host, 0) as port,
        pytest.raises(OSError, match="in use"),
        listener(port, shared=False),
    ):
        pass


def test_a_host_of_another_machine_is_named() -> None:
    with (
        pytest.raises(StartError, match=r"host: cannot listen on 192\.0\.2\.1 \("),
        held("192.0.2.1", 0),
    ):
        pass
    with pytest.raises(StartError, match=r"host: cannot listen on no\.such\.host\.invalid "):  # noqa: SIM117 (reads as one)
        with held("no.such.host.invalid", 0):
            pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_cannot_listen_beside_the_workers() -> None:
    program = (
        "import os, socket, sys\n"
        "os.seteuid(65534)\n"
        "it = socket.socket()\n"
        "it.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\n"
        "it.bind(('127.0.0.1', int(sys.argv[1])))\n"
    )
    with held("127.0.0.1", 0) as port, listener(port, shared=True):
        command = [sys.executable, "-c", program, str(port)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "Address already in use" in ended.stderr
        with listener(port, shared=True):
            pass
