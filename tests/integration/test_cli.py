"""The command line against a real server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from inkstream import mnist as mnist_files
from PIL import Image

from tests.conftest import Mnist
from tests.integration.conftest import RunningServer


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "inkstream", *map(str, arguments)]
    environment = {k: v for k, v in os.environ.items() if k != "INKSTREAM_SERVER"}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=100, check=False, env=environment
    )


def run_json(*arguments: object) -> dict[str, Any]:
    ended = run(*arguments, "--json")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("\n") == 1
    return dict(json.loads(ended.stdout))


def test_pictures_of_all_digits_are_recognised(
    server: RunningServer, mnist: Mnist, tmp_path: Path
) -> None:
    images, labels = mnist
    files = []
    for digit in range(10):
        # Like a scan: large, dark ink on a light background, off the centre.
        paper = np.full((200, 160), 240, np.uint8)
        ink = images[np.flatnonzero(labels == digit)[0]].repeat(4, axis=0).repeat(4, axis=1)
        paper[60:172, 8:120] -= np.minimum(ink, 230)
        files.append(tmp_path / f"{digit}.png")
        Image.fromarray(paper).save(files[-1])
    output = run_json("recognize", "--server", server.address, *files)
    digits = [row["digit"] for row in output["results"]]
    assert sum(a == b for a, b in zip(digits, range(10), strict=True)) >= 9
    assert all(any("inverted" in note for note in row["notes"]) for row in output["results"])


def test_eval_finds_the_accuracy_of_the_model(server: RunningServer, mnist: Mnist) -> None:
    folder = mnist_files.locate()
    assert folder is not None
    pair = [folder / file.name for file in mnist_files.FILES["test"]]
    figures = run_json("eval", *pair, "--server", server.address)
    assert figures["images"] == len(mnist[0])
    assert figures["accuracy"] >= 0.99


def test_model_shows_the_card(server: RunningServer) -> None:
    described = run_json("model", "--server", server.address)
    assert described["name"] == "digits"
    assert described["card"]


@pytest.mark.parametrize(
    "load", [("--streams", 4, "--in-flight", 4), ("--rate", 300), ("--images-per-message", 64)]
)
def test_bench_loads_a_server(server: RunningServer, load: tuple[object, ...]) -> None:
    figures = run_json("bench", "--server", server.address, "--duration", 0.5, *load)
    assert figures["images"] > 0
    assert figures["errors"] == {}


def test_demo_starts_and_stops_a_server_of_its_own() -> None:
    figures = run_json("demo", "--images", 1000)
    assert figures["images"] == 1000
    assert figures["accuracy"] >= 0.9
    assert figures["mean_batch"] > 1
    assert figures["ink"]["digits"] == 18
    assert figures["ink"]["accuracy"] >= 0.8
    assert figures["ink"]["pen_up_to_answer_ms"]["p50"] > 0


def test_demo_shows_pens_without_a_terminal_and_without_real_ink(
    server: RunningServer, mnist: Mnist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = mnist_files.locate()
    assert folder is not None
    (tmp_path / "mnist").symlink_to(folder)
    monkeypatch.setenv("INKSTREAM_DATA", str(tmp_path))
    ended = run("demo", "--server", server.address, "--pens", 2, "--images", 10)
    assert ended.returncode == 0, ended.stderr
    assert "digits of a pen simulator" in ended.stdout
    assert ended.stdout.count("final") == 6
    assert "ms after pen-up" in ended.stdout


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_demo_leaves_nothing_running(number: signal.Signals, code: int) -> None:
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from inkstream.cli import main; main()"
    )
    demo = subprocess.Popen(
        [sys.executable, "-c", program, "demo"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert demo.stderr is not None
    with demo.stderr:
        while "Starting a server" not in (line := demo.stderr.readline()):
            assert line, "the demo ended too soon"
        children = Path(f"/proc/{demo.pid}/task/{demo.pid}/children")
        while not children.read_text():
            assert demo.poll() is None
        demo.send_signal(number)
        assert demo.wait(60) == code, demo.stderr.read()
    with pytest.raises(ProcessLookupError):
        os.killpg(demo.pid, 0)
