"""`inkstream replay` against a real server, with real ink."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from inkstream.ink import Ink, Stroke, read, write
from inkstream_server.confidence.rejection import rule_of
from inkstream_server.model_store import store

from tests.integration.conftest import RunningServer
from tests.integration.test_cli import run
from tests.pairs import read_offline
from tests.unit.client.ink.inks import seven

GLYPHS = 500
SOURCES = {
    "pendigits/pendigits-orig.tra.gz": 13,
    "unipen/digits.jsonl.gz": 61,
    "uji/digits.jsonl.gz": 5,
}
"""Files, and the step from one used glyph to the next, so that writers differ."""


@pytest.fixture(scope="session")
def real_ink(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, list[Ink]]]:
    """500 glyphs of three collections with both directions of y, in their own formats."""
    folder = Path(os.environ.get("INKSTREAM_DATA", ""))
    if not all((folder / name).is_file() for name in SOURCES):
        pytest.skip("real ink is not here: set INKSTREAM_DATA to the folder that holds pendigits/")
    target = tmp_path_factory.mktemp("ink")
    found = []
    for (name, step), share in zip(SOURCES.items(), (200, 200, 100), strict=True):
        inks = list(itertools.islice(read(folder / name), 0, step * share, step))
        suffix = ".unipen.gz" if name.startswith("pendigits") else ".jsonl"
        file = target / f"{name.partition('/')[0]}{suffix}"
        assert write(file, inks) == share
        found.append((file, inks))
    assert sum(len(inks) for _, inks in found) == GLYPHS
    return found


def replayed(*arguments: object) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    ended = run("replay", "--json", *arguments)
    assert ended.returncode == 0, ended.stderr
    *rows, last = [json.loads(line) for line in ended.stdout.splitlines()]
    return rows, last["summary"]


def test_500_real_glyphs_are_answered_as_offline(
    server: RunningServer, real_ink: list[tuple[Path, list[Ink]]]
) -> None:
    files = [file for file, _ in real_ink]
    rows, summary = replayed("--server", server.address, *files)
    inks = [(str(file), index, ink) for file, inks in real_ink for index, ink in enumerate(inks)]
    assert [(row["file"], row["index"]) for row in rows] == [(f, i) for f, i, _ in inks]
    assert [row["label"] for row in rows] == [ink.label for *_, ink in inks]
    assert [row["writer"] for row in rows] == [ink.writer for *_, ink in inks]

    folder = store.find(store.BUNDLED, "digits")
    expected = read_offline(folder, [ink for *_, ink in inks])
    rule = rule_of((folder / "card.json").read_text())
    reasons = rule.reasons(expected) or [0] * GLYPHS
    digits = expected.argmax(axis=1).tolist()
    assert [row["digit"] for row in rows] == digits
    np.testing.assert_allclose([row["confidence"] for row in rows], expected.max(axis=1), atol=2e-4)
    assert [row["rejected"] for row in rows] == [reason != 0 for reason in reasons]
    correct = sum(str(digit) == ink.label for digit, (*_, ink) in zip(digits, inks, strict=True))
    assert correct >= 0.8 * GLYPHS
    rejected = sum(reason != 0 for reason in reasons)
    assert summary.pop("p99_ms") >= summary.pop("p50_ms") > 0
    assert summary == {
        "glyphs": GLYPHS,
        "correct": correct,
        "rejected": rejected,
        "accuracy": correct / GLYPHS,
        "coverage": 1 - rejected / GLYPHS,
        "other_labels": 0,
        "other_rejected": 0,
    }


def test_the_pace_and_the_number_of_pens_change_no_answer(
    server: RunningServer, real_ink: list[tuple[Path, list[Ink]]]
) -> None:
    file = real_ink[1][0]

    def streams() -> float:
        started = "grpc_server_started_total"
        return server.metrics().total(started, grpc_method="StreamRecognize")

    opened = [streams()]
    at_once, _ = replayed("--server", server.address, file, "--limit", 40, "--pens", 3)
    opened.append(streams())
    in_time, summary = replayed(
        "--server", server.address, file, "--limit", 40, "--speed", 2, "--pens", 20, "--streams", 2
    )
    opened.append(streams())
    assert np.diff(opened).tolist() == [3, 2]
    assert summary["glyphs"] == 40
    for row, other in zip(at_once, in_time, strict=True):
        assert row.pop("confidence") == pytest.approx(other.pop("confidence"), abs=1e-4)
        assert row == other


def test_rows_have_the_documented_keys_and_no_digit_without_ink(
    server: RunningServer, tmp_path: Path
) -> None:
    dot, nothing = Stroke.of([(5, 5)]), Stroke([], [])  # type: ignore[arg-type]
    too_long = Stroke.of(np.cumsum(np.ones((9000, 2)), axis=0))
    inks = [
        seven(),
        Ink((dot,), label="1"),
        Ink((nothing,), label="0"),
        Ink((), label="0"),
        Ink((too_long,), label="4"),
        seven(label=None, writer=None, units="mm"),
    ]
    file = tmp_path / "odd.jsonl"
    write(file, inks)
    rows, summary = replayed("--server", server.address, file)
    assert list(rows[0]) == [
        "file",
        "index",
        "label",
        "digit",
        "confidence",
        "rejected",
        "reason",
        "writer",
    ]
    assert (rows[0]["digit"], rows[0]["writer"]) == (7, "12")
    assert [row["digit"] for row in rows[1:5]] == [None] * 4
    assert [row["reason"] for row in rows[1:5]] == ["NO_INK", "NO_INK", "NO_INK", "INVALID_INK"]
    assert all(row["rejected"] for row in rows[1:5])
    assert (rows[5]["label"], rows[5]["digit"], rows[5]["writer"]) == (None, 7, None)
    assert list(summary) == [
        "glyphs",
        "correct",
        "rejected",
        "accuracy",
        "coverage",
        "other_labels",
        "other_rejected",
        "p50_ms",
        "p99_ms",
    ]
    assert (summary["glyphs"], summary["correct"], summary["accuracy"]) == (6, 1, 1 / 5)


def test_the_report_shows_accuracy_by_digit_and_writer_and_mistakes(
    server: RunningServer, tmp_path: Path
) -> None:
    write(tmp_path / "two.jsonl", [seven(), seven(label="4", writer="someone")])
    ended = run("replay", tmp_path / "two.jsonl", "--server", server.address)
    assert ended.returncode == 0, ended.stderr
    assert "accuracy  50.00%" in ended.stdout
    assert "writer (worst of 2)" in ended.stdout
    assert "someone" in ended.stdout
    assert "The surest of 1 mistakes" in ended.stdout
    assert "4, not 7" in ended.stdout


def test_letters_are_reported_by_the_share_that_is_rejected(
    server: RunningServer, tmp_path: Path
) -> None:
    slash, cross = Stroke.of([(0, 0), (40, 40)]), Stroke.of([(0, 40), (40, 0)])
    across, down = Stroke.of([(0, 20), (40, 20)]), Stroke.of([(20, 0), (20, 40)])
    star = Ink((slash, cross, across, down), label="*")
    write(tmp_path / "letters.jsonl", [star, seven(label="T")])
    ended = run("replay", tmp_path / "letters.jsonl", "--server", server.address)
    assert ended.returncode == 0, ended.stderr
    assert "rejected  50.00%  of 2 whose label is no digit; 1 passed as digits" in ended.stdout
    assert "accuracy  0" not in ended.stdout
    assert "T, not 7" in ended.stdout
    _, summary = replayed("--server", server.address, tmp_path / "letters.jsonl")
    assert (summary["accuracy"], summary["other_labels"], summary["other_rejected"]) == (None, 2, 1)


def test_a_broken_file_is_refused_with_its_line_before_anything_is_sent(tmp_path: Path) -> None:
    file = tmp_path / "broken.jsonl"
    write(file, [seven()])
    file.write_text(file.read_text() + '{"y": "up"}\n')
    ended = run("replay", file, "--server", "localhost:1", "--json")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "broken.jsonl:2" in ended.stderr
    assert "strokes" in ended.stderr


def test_a_missing_server_ends_replay_with_a_sentence(tmp_path: Path) -> None:
    write(tmp_path / "seven.inkml", [seven()] * 20)
    ended = run("replay", tmp_path / "seven.inkml", "--server", "localhost:1")
    assert ended.returncode == 3
    assert "Traceback" not in ended.stderr
    assert "localhost:1" in ended.stderr


def test_a_closed_pipe_gives_no_traceback(server: RunningServer, tmp_path: Path) -> None:
    file = tmp_path / "many.jsonl"
    write(file, [seven()] * 2000)
    command = [sys.executable, "-m", "inkstream", "replay", str(file), "--json"]
    replay = subprocess.Popen(
        [*command, "--server", server.address], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert replay.stdout is not None
    assert replay.stderr is not None
    with replay.stdout, replay.stderr:
        assert b'"digit": 7' in replay.stdout.readline()
        replay.stdout.close()
        output = replay.stderr.read()
        assert replay.wait(60) != 0
    assert b"Traceback" not in output
