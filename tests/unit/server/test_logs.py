from __future__ import annotations

import errno
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from inkstream_server import logs


@pytest.fixture(autouse=True)
def defaults_afterwards() -> Iterator[None]:
    yield
    structlog.reset_defaults()


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


def test_what_lies_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("text", "warning")
    logs.get().info("ready")
    logs.get().error("failed")
    (line,) = capsys.readouterr().err.splitlines()
    assert "event=failed" in line


def test_a_full_disk_costs_lines_and_nothing_else(
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
