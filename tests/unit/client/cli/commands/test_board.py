"""`inkstream board` until it serves: options, addresses, errors."""

from __future__ import annotations

import socket
import webbrowser

import pytest
from click.testing import CliRunner, Result
from inkstream.cli.app import app
from inkstream.cli.board.serving import BoardServer
from inkstream.cli.commands import board as _board

from tests.unit.client.fake_server import FakeServer


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses that a browser opened; the board gets Ctrl-C at once."""
    addresses: list[str] = []

    def open_(address: str) -> bool:
        addresses.append(address)
        return True

    def interrupted(board: BoardServer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(webbrowser, "open", open_)
    monkeypatch.setattr(BoardServer, "serve_forever", interrupted)
    return addresses


def board(fake: FakeServer, *flags: str) -> Result:
    return CliRunner().invoke(app, ["board", "--server", fake.address, *flags])


def test_it_prints_its_address_opens_it_and_ends_with_ctrl_c(
    fake: FakeServer, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    ended = board(fake)
    assert ended.exit_code == 130
    assert opened == [ended.stdout.strip()]
    assert opened[0].startswith("http://127.0.0.1:")
    assert "digits/1" in ended.stderr
    assert board(fake).stdout.split("/")[3] != opened[0].split("/")[3], "a new token each time"


def test_no_browser_is_opened_without_a_display_or_with_no_open(
    fake: FakeServer, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("DISPLAY", ":0")
    assert board(fake, "--no-open").exit_code == 130
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert board(fake).exit_code == 130
    assert not opened


def test_other_machines_reach_it_only_with_insecure_listen(
    fake: FakeServer, opened: list[str]
) -> None:
    refused = board(fake, "--host", "0.0.0.0")
    assert refused.exit_code == 2
    assert "--insecure-listen" in refused.stderr
    assert not refused.stdout
    allowed = board(fake, "--host", "0.0.0.0", "--insecure-listen", "--no-open")
    assert allowed.exit_code == 130
    assert "not encrypted" in allowed.stderr
    assert "0.0.0.0" not in allowed.stdout, "a browser cannot open that address"


def test_a_taken_port_and_a_foreign_address_are_named(fake: FakeServer, opened: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = board(fake, "--port", str(port))
    assert ended.exit_code == 2
    assert f"127.0.0.1:{port}" in ended.stderr
    ended = board(fake, "--host", "192.0.2.1", "--insecure-listen")
    assert ended.exit_code == 2
    assert "192.0.2.1" in ended.stderr


def test_a_missing_server_is_reported_at_the_start(opened: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    ended = CliRunner().invoke(app, ["board", "--server", address, "--no-open"])
    assert ended.exit_code == 3
    assert not ended.stdout


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_loopback_is_recognised(host: str, is_loopback: bool) -> None:
    assert _board._is_loopback(host) is is_loopback
