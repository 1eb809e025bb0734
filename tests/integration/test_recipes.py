"""Follows the recipes of CONTRIBUTING.md in a copy of the packages, and runs the result."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from inkstream import Client

from tests.integration.conftest import running_server

ROOT = Path(__file__).parents[2]

ENGINE = '''"""Runs LiteRT under another name."""

from inkstream_server.engines.litert import LiteRTEngine


class TwinEngine(LiteRTEngine):
    """Computes what LiteRT computes."""

    name = "twin"
'''

COMMAND = '''"""`inkstream hello`: greets."""

import click

from inkstream.cli.terminal import stdout


@click.command()
def hello() -> None:
    """Print a greeting."""
    stdout().print("Hello, world.")
'''


COUNTER = """
        self._described = ItemCounter(
            "inkstream_described", "Calls of GetModel.", registry
        ).only
"""

METHOD = '''
    def described(self) -> None:
        """Note a call of GetModel."""
        self._described.inc()

'''


class Tree:
    """A copy of client and server."""

    def __init__(self, folder: Path) -> None:
        for source in ("client", "server"):
            kept = shutil.ignore_patterns("__pycache__", "*.egg-info", "model.keras")
            shutil.copytree(ROOT / source, folder / source, ignore=kept)
        self.server = folder / "server" / "inkstream_server"
        self.client = folder / "client" / "inkstream"
        self.changed: list[Path] = []
        path = os.pathsep.join(str(folder / name) for name in ("client", "server"))
        self.environment = {**os.environ, "PYTHONPATH": path}

    def add(self, path: Path, content: str) -> None:
        assert not path.exists()
        path.write_text(content)
        self.changed.append(path)

    def insert(self, path: Path, before: str, lines: str) -> None:
        """Insert lines before the only place with this text."""
        text = path.read_text()
        assert text.count(before) == 1, f"{path}: expected {before!r} once"
        path.write_text(text.replace(before, lines + before))
        if path not in self.changed:
            self.changed.append(path)

    def run(self, *module_and_arguments: str) -> str:
        command = [sys.executable, "-m", *module_and_arguments]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=True
        ).stdout


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_another_engine_is_two_files(tree: Tree, tmp_path: Path) -> None:
    tree.add(tree.server / "engines" / "twin.py", ENGINE)
    kind = 'EngineKind("model.tflite", "strokes.tflite", "inkstream_server.engines.twin:TwinEngine", 2**29)'
    entry = f'    "twin": {kind},\n'
    tree.insert(tree.server / "config.py", '    "keras": EngineKind(', entry)
    assert len(tree.changed) == 2
    assert "twin" in tree.run("inkstream_server", "serve", "--help")
    with (
        running_server(tmp_path, "--engine", "twin", environment=tree.environment) as server,
        Client(server.address) as client,
    ):
        assert client.model().name == "digits"
        assert {it["engine"] for it in server.metrics().labels("inkstream_model_info")} == {"twin"}


def test_another_command_is_one_file(tree: Tree) -> None:
    tree.add(tree.client / "cli" / "commands" / "hello.py", COMMAND)
    assert len(tree.changed) == 1
    assert "Print a greeting." in tree.run("inkstream", "--help")
    assert tree.run("inkstream", "hello") == "Hello, world.\n"


def test_another_metric_is_two_files(tree: Tree, tmp_path: Path) -> None:
    items = tree.server / "metrics" / "items.py"
    tree.insert(items, "        self.ink = InkMetrics(registry)\n", COUNTER)
    tree.insert(items, "    def serving(self, model: Model)", METHOD)
    service = tree.server / "rpc" / "service.py"
    tree.insert(service, "        return GetModelResponse(", "        self._metrics.described()\n")
    assert len(tree.changed) == 2
    with (
        running_server(tmp_path, environment=tree.environment) as server,
        Client(server.address) as client,
    ):
        assert server.metrics().value("inkstream_described_total") == 0
        client.model()
        assert server.metrics().value("inkstream_described_total") == 1
