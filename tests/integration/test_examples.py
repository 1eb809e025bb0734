"""Checks that the script of `examples/` draws the committed files, and that they are read rightly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from inkstream.ink import write
from PIL import Image

from examples.draw import INK, PICTURE, digits, picture
from tests.integration.conftest import RunningServer
from tests.integration.test_cli import run, run_json
from tests.integration.test_cli_replay import replayed


def test_the_script_draws_the_committed_files(tmp_path: Path) -> None:
    inks = digits()
    write(tmp_path / "digits.jsonl", inks)
    assert (tmp_path / "digits.jsonl").read_text() == INK.read_text()
    assert np.array_equal(np.asarray(Image.open(PICTURE)), np.asarray(picture(inks[7])))


def test_the_picture_is_read_right(server: RunningServer) -> None:
    (row,) = run_json("recognize", PICTURE, "--server", server.address)["results"]
    assert (row["digit"], row["rejected"]) == (7, False)


def test_the_ink_is_read_right_and_drawn(server: RunningServer) -> None:
    rows, summary = replayed("--server", server.address, INK)
    assert [row["label"] for row in rows] == [str(digit) for digit in range(10)]
    assert (summary["accuracy"], summary["coverage"]) == (1.0, 1.0)
    drawn = run("draw", INK, "--count", 10)
    assert drawn.returncode == 0, drawn.stderr
    assert drawn.stdout.count("as the model sees it") == 10
