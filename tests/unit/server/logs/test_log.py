from __future__ import annotations

import ast
import asyncio
import errno
import json
import logging
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from inkstream_server import logs
from inkstream_server.logs.kinds import NEVER_OMITTED

from tests.rooms import ROOT

_LOGS = re.compile(r"(logs\.)?(get|at_any_level)\(\)\.(debug|info|warning|error|critical)$")


def test_text_is_one_event_a_line_with_its_values(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("text", "info")
    logs.get().info("ready", address="127.0.0.1:5", model="digits/1")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("timestamp=20")
    assert line.endswith("level=info event=ready address=127.0.0.1:5 model=digits/1")


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "info")
    logs.get().warning("drain", timeout_s=2.5)
    captured = capsys.readouterr()
    entry = json.loads(captured.err)
    assert (entry["event"], entry["level"], entry["timeout_s"]) == ("drain", "warning", 2.5)
    assert captured.out == ""


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_failure_stays_on_one_line(capsys: pytest.CaptureFixture[str], log_format: str) -> None:
    logs.configure(log_format, "info")
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        logs.get().exception("failed")
    (line,) = capsys.readouterr().err.splitlines()
    assert "RuntimeError: broken" in line


def test_events_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("text", "warning")
    logs.get().info("ready")
    logs.get().error("failed")
    (line,) = capsys.readouterr().err.splitlines()
    assert "event=failed" in line


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_lines_of_libraries_look_like_events(
    capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    logs.configure(log_format, "info")
    logs.configure(log_format, "debug", worker=1)
    library = logging.getLogger("some.library")
    library.setLevel(logging.DEBUG)
    library.debug("a detail")
    library.warning("sent %d of %d", 3, 4)
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        library.exception("failed\nbadly")
    first, second = capsys.readouterr().err.splitlines()
    if log_format == "json":
        entry = json.loads(first)
        assert (entry["event"], entry["level"], entry["logger"], entry["worker"]) == (
            "sent 3 of 4",
            "warning",
            "some.library",
            1,
        )
        assert json.loads(second)["event"] == r"failed\nbadly"
    else:
        assert 'level=warning event="sent 3 of 4" logger=some.library worker=1' in first
    assert "RuntimeError: broken" in second


@pytest.mark.parametrize("level", [25, 35, 60])
def test_a_librarys_own_level_counts_as_the_level_below_it(
    capsys: pytest.CaptureFixture[str], level: int
) -> None:
    logs.configure("text", "debug")
    logging.getLogger("some.library").log(level, "said")
    name = {25: "info", 35: "warning", 60: "critical"}[level]
    assert f"level={name} event=said" in capsys.readouterr().err


async def test_a_change_of_the_log_level_is_logged_at_any_level(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("text", "warning")
    loop, signals = asyncio.get_running_loop(), asyncio.Queue[int]()
    logs.shift_on_signals(loop, signals.put_nowait)
    try:
        for _ in range(2):
            signal.raise_signal(signal.SIGUSR2)
            await signals.get()
    finally:
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            loop.remove_signal_handler(number)
    logs.get().warning("stream_stalled")
    first, second = capsys.readouterr().err.splitlines()
    for line in (first, second):
        assert line.endswith("level=info event=log_level least=error")


def test_a_full_disk_loses_log_lines_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    disk = Disk(tmp_path / "log")
    monkeypatch.setattr(sys, "stderr", disk)
    logs.configure("text", "info")
    logs.get().info("first")
    disk.is_full = True
    logs.get().info("second")
    logs.get().info("third")
    disk.is_full = False
    logs.get().info("fourth")
    events = re.findall(r"event=(.*)", (tmp_path / "log").read_text())
    assert events == ["first", "fourth", "log_lines_lost lines=2"]


class Disk:
    """A file on a disk that may be full."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.is_full = False

    def write(self, text: str) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with self._path.open("a") as file:
            file.write(text)

    def flush(self) -> None:
        return


def test_every_event_has_a_constant_name_so_that_no_caller_makes_kinds() -> None:
    unnamed = [place for place, name in events_of_the_server() if name is None]
    assert unnamed == []


def test_every_event_that_is_never_omitted_exists() -> None:
    assert {name for _, name in events_of_the_server()} >= NEVER_OMITTED


def events_of_the_server() -> Iterator[tuple[str, str | None]]:
    """Yield the place and the name of each event that the code logs; None for a name that is no constant."""
    for path in (ROOT / "server" / "inkstream_server").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and _LOGS.match(ast.unparse(node.func)):
                first = node.args[0]
                name = str(first.value) if isinstance(first, ast.Constant) else None
                if ast.unparse(first) == "cut.event":
                    name = "stream_stalled"  # A constant of each subclass of `StreamCut`.
                # Other names in these two are those of the events of others, which have kinds of their own.
                if name or path.name not in ("libraries.py", "process.py"):
                    yield f"{path}:{node.lineno}", name
