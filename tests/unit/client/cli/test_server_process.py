from __future__ import annotations

import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from inkstream import InkstreamError
from inkstream.cli import server_process as _server_process
from inkstream.cli.commands import demo
from inkstream.cli.server_process import scrape, server_process

Pretend = Callable[[str], None]


@pytest.fixture
def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pretend:
    """Replaces the server by a program of the test."""
    interpreter = sys.executable

    def replace(body: str) -> None:
        program = tmp_path / "server"
        head = "import json, os, pathlib, signal, sys\nready = sys.argv[sys.argv.index('--ready-file') + 1]\n"
        program.write_text(f"#!{interpreter}\n{head}{body}\n")
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))

    return replace


READY = """
pathlib.Path(%r).write_text(str(os.getpid()))
pathlib.Path(ready).write_text('{"half')
said = {"address": "127.0.0.1:1", "metrics": "http://127.0.0.1:2/metrics", "pid": os.getpid()}
pathlib.Path(ready).write_text(json.dumps(said))
"""


def is_gone(pid_file: Path) -> bool:
    return not Path(f"/proc/{pid_file.read_text()}").exists()


def test_a_server_lives_as_long_as_its_block(pretend: Pretend, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    pretend(READY % str(pid_file) + "signal.pause()")
    with server_process() as server:
        assert server.address == "127.0.0.1:1"
        assert server.metrics_url == "http://127.0.0.1:2/metrics"
        assert not is_gone(pid_file)
    assert is_gone(pid_file)


def test_a_server_is_stopped_when_its_block_fails(pretend: Pretend, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    pretend(READY % str(pid_file) + "signal.pause()")
    with pytest.raises(KeyboardInterrupt), server_process():
        raise KeyboardInterrupt
    assert is_gone(pid_file)


def test_a_server_that_does_not_listen_is_killed(
    pretend: Pretend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_server_process, "_STOP_S", 0.1)
    pid_file = tmp_path / "pid"
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    pretend(deaf + READY % str(pid_file) + "while True: signal.pause()")
    with server_process():
        pass
    assert is_gone(pid_file)


def test_the_error_of_a_server_that_dies_is_quoted(pretend: Pretend) -> None:
    pretend("sys.exit('port taken')")
    with pytest.raises(InkstreamError, match="port taken"), server_process():
        pass


def test_a_missing_server_package_is_reported(pretend: Pretend) -> None:
    pretend("sys.exit('No module named inkstream_server')")
    with pytest.raises(InkstreamError, match="pip install"), server_process():
        pass


def test_a_server_that_never_gets_ready_is_killed_and_reported(
    pretend: Pretend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_server_process, "_START_S", 0.1)
    pretend("signal.pause()")
    with pytest.raises(InkstreamError, match="not ready"), server_process():
        pass


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(
            b'# HELP x y\ninkstream_batch_size_sum{network="image"} 300.0\n'
            b'inkstream_batch_size_count{network="image"} 20\n'
            b'inkstream_items_total{kind="tensor",outcome="ok"} 1e+03\n'
        )

    def log_message(self, *_: object) -> None:
        """Silent."""


def test_metrics_are_read_as_prometheus_writes_them() -> None:
    with HTTPServer(("127.0.0.1", 0), Page) as page:
        Thread(target=page.handle_request).start()
        samples = scrape(f"http://127.0.0.1:{page.server_port}/metrics")
    assert samples['inkstream_items_total{kind="tensor",outcome="ok"}'] == 1000
    assert demo._mean_batch({'inkstream_batch_size_sum{network="image"}': 100.0}, samples) == 10
    assert demo._mean_batch(samples, samples) is None


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/metrics", "file:///etc/passwd"])
def test_metrics_that_cannot_be_read_are_reported(url: str) -> None:
    with pytest.raises(InkstreamError, match=url):
        scrape(url)
