from __future__ import annotations

import asyncio
import gzip
import io
import json
import re
import runpy
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import inkstream
import inkstream.cli
import inkstream_command
import numpy as np
import pytest
from click.testing import CliRunner, Result
from inkstream import mnist
from inkstream.cli.app import app
from inkstream.cli.commands import bench as _bench
from inkstream.v1 import error_pb2
from PIL import Image

from tests.unit.client.fake_server import REFUSED, FakeServer, frame

Run = Callable[..., Result]


@pytest.fixture
def run(fake: FakeServer, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command line against the fake server."""

    def unavailable(split: str, folder: Path | None = None) -> Any:
        raise mnist.DatasetUnavailable("no network in this test")

    monkeypatch.setattr(mnist, "load", unavailable)
    monkeypatch.setenv("INKSTREAM_SERVER", fake.address)

    def invoke(*arguments: object, given: bytes = b"") -> Result:
        words = [str(a) for a in arguments]
        return CliRunner().invoke(app, words, input=given, terminal_width=100)

    return invoke


def only_object(result: Result) -> dict[str, Any]:
    assert result.stdout.count("\n") == 1
    return dict(json.loads(result.stdout))


def write_idx(path: Path, array: np.ndarray) -> Path:
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))
    return path


@pytest.fixture
def labelled(tmp_path: Path) -> tuple[Path, Path]:
    """Forty images, of which the server reads every fourth wrongly, and their labels."""
    images = np.stack([frame(n % 10) for n in range(40)])
    labels = np.array([n % 10 if n % 4 else 9 - n % 10 for n in range(40)], np.uint8)
    return write_idx(tmp_path / "images.gz", images), write_idx(tmp_path / "labels.gz", labels)


COMMANDS = app.list_commands(click.Context(app))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_whole_sentences_with_an_example(run: Run, command: str) -> None:
    shown = run(command, "--help")
    assert shown.exit_code == 0
    assert f"inkstream {command}" in shown.stdout.partition("Example")[2]
    found = app.get_command(click.Context(app), command)
    assert found is not None
    paragraphs = [part for part in str(found.help).split("\n\n") if "\b" not in part]
    options = [option.help for option in found.params if isinstance(option, click.Option)]
    for text in [*paragraphs, *options]:
        assert str(text).rstrip()[-1] in ".:", text


def test_the_list_of_commands_cuts_no_sentence_off(run: Run) -> None:
    listed = " ".join(run("--help").stdout.partition("Commands:")[2].split())
    assert "..." not in listed
    for command in COMMANDS:
        assert re.search(rf"\b{command} [A-Z][^.]+\.", listed), command


def test_a_misspelt_command_is_answered_with_the_right_one(run: Run) -> None:
    wrong = run("recognise")
    assert (wrong.exit_code, "'recognize'" in wrong.stderr) == (2, True)


def test_a_command_imports_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("inkstream.cli.commands.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(app, "commands", {})
    assert app.get_command(click.Context(app), "ping") is not None
    loaded = {name for name in sys.modules if name.startswith("inkstream.cli.commands.")}
    assert loaded == {"inkstream.cli.commands.ping"}


def test_the_version_is_the_packages(run: Run) -> None:
    assert inkstream.__version__ in run("--version").stdout


def test_recognize_reads_pictures_and_arrays(run: Run, tmp_path: Path) -> None:
    Image.fromarray(frame(7, 255)).save(tmp_path / "seven.png")
    np.save(tmp_path / "many.npy", np.stack([frame(1), frame(2)]))
    np.save(tmp_path / "one.npy", frame(3))
    shown = run("recognize", *(tmp_path / name for name in ("seven.png", "many.npy", "one.npy")))
    assert shown.exit_code == 0
    assert [line.split()[1] for line in shown.stdout.splitlines()] == ["7", "1", "2", "3"]
    assert "many.npy[1]: 2" in shown.stdout


def test_recognize_leads_with_the_rejection(run: Run, fake: FakeServer, tmp_path: Path) -> None:
    fake.reject_reason = error_pb2.REJECT_REASON_NOT_A_DIGIT
    np.save(tmp_path / "one.npy", frame(3))
    shown = run("recognize", "--top", 0, tmp_path / "one.npy")
    assert shown.exit_code == 0
    assert shown.stdout.partition(": ")[2] == "rejected: not a digit  (best guess 3 20.0%)\n"
    quiet = run("recognize", "--quiet", tmp_path / "one.npy")
    assert quiet.stdout.partition(": ")[2] == "rejected: not a digit  20.0%\n"


def test_recognize_quietly_prints_one_line_for_a_picture(run: Run, tmp_path: Path) -> None:
    Image.fromarray(255 - frame(200, 200).repeat(3, axis=0)).save(tmp_path / "dark.png")
    shown = run("recognize", "--quiet", tmp_path / "dark.png")
    assert shown.stderr == ""
    assert re.fullmatch(r".*dark\.png: \d  \d+\.\d%\n", shown.stdout)


def test_recognize_says_what_it_did_to_a_picture(run: Run, tmp_path: Path) -> None:
    Image.fromarray(255 - frame(200, 200).repeat(3, axis=0)).save(tmp_path / "dark.png")
    shown = run("recognize", "--json", tmp_path / "dark.png")
    assert "inverted" in shown.stderr
    (row,) = only_object(shown)["results"]
    assert any("inverted" in note for note in row["notes"])


def test_recognize_shows_names_as_they_are(run: Run, tmp_path: Path) -> None:
    np.save(strange := tmp_path / "a:smile:[red].npy", frame(7))
    missing = tmp_path / "b:smile:[red].npy"
    result = run("recognize", strange, missing)
    assert f"{strange}" in result.stdout
    assert f"{missing}" in result.stderr


def test_recognize_continues_after_a_bad_file_and_reports_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "broken.npy").write_bytes(b"nothing")
    np.save(tmp_path / "wide.npy", np.zeros((2, 30, 30), np.uint8))
    np.save(tmp_path / "good.npy", np.stack([frame(REFUSED), frame(4)]))
    files = [tmp_path / n for n in ("absent.png", "broken.npy", "wide.npy", "good.npy")]
    shown = run("recognize", "--json", *files)
    assert shown.exit_code == 2
    printed = only_object(shown)
    assert [row["digit"] for row in printed["results"]] == [4]
    assert printed["failures"] == 5, shown.stderr
    for name in ("absent.png", "broken.npy", "wide.npy[1]", "good.npy[0]"):
        assert name in shown.stderr
    assert [(Path(error["file"]).name, error["index"]) for error in printed["errors"]] == [
        ("absent.png", None),
        ("broken.npy", None),
        ("wide.npy", 0),
        ("wide.npy", 1),
        ("good.npy", 0),
    ]
    assert all(error["error"] for error in printed["errors"])


def test_recognize_takes_the_pictures_and_arrays_of_a_folder(run: Run, tmp_path: Path) -> None:
    Image.fromarray(frame(7)).save(tmp_path / "b.PNG")
    np.save(tmp_path / "a.npy", frame(3))
    (tmp_path / "notes.txt").write_text("not a picture")
    shown = run("recognize", tmp_path)
    assert shown.exit_code == 0, shown.stderr
    assert [line.split()[1] for line in shown.stdout.splitlines()] == ["3", "7"]
    (tmp_path / "empty").mkdir()
    refused = run("recognize", tmp_path / "empty")
    assert (refused.exit_code, "holds no picture" in refused.stderr) == (2, True)


def test_recognize_reads_archives_of_arrays(run: Run, tmp_path: Path) -> None:
    np.savez(tmp_path / "digits.npz", one=frame(1), more=np.stack([frame(2), frame(3)]))
    shown = run("recognize", "--json", tmp_path / "digits.npz")
    rows = only_object(shown)["results"]
    assert [(Path(row["file"]).name, row["index"], row["digit"]) for row in rows] == [
        ("one", 0, 1),
        ("more", 0, 2),
        ("more", 1, 3),
    ]


@pytest.mark.parametrize("kind", ["picture", "array", "nothing"])
def test_recognize_reads_standard_input(run: Run, kind: str) -> None:
    given = io.BytesIO()
    if kind == "picture":
        Image.fromarray(frame(7)).save(given, "PNG")
    elif kind == "array":
        np.save(given, frame(7))
    shown = run("recognize", "-", given=given.getvalue())
    if kind == "nothing":
        assert (shown.exit_code, "not a picture" in shown.stderr) == (2, True)
    else:
        assert shown.stdout.partition(": ")[2].startswith("7")


def test_recognize_says_that_an_array_holds_no_images(run: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "empty.npy", np.zeros((0, 28, 28), np.uint8))
    shown = run("recognize", tmp_path / "empty.npy")
    assert (shown.exit_code, "holds no images" in shown.stderr) == (2, True)


def test_replay_rejects_a_file_without_ink(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    refused = run("replay", tmp_path / "empty.jsonl")
    assert refused.exit_code == 2
    assert "empty.jsonl: no ink in it" in refused.stderr


def test_eval_counts_and_times(run: Run, labelled: tuple[Path, Path]) -> None:
    shown = run("eval", *labelled, "--json")
    figures = only_object(shown)
    assert (figures["accuracy"], figures["images"]) == (0.75, 40)
    assert figures["images_per_second"] > 0
    assert figures["latency_ms"].keys() == {"p50", "p99"}
    assert "75.00%" in run("eval", *labelled).stdout
    assert only_object(run("eval", *labelled, "--json", "--limit", 4))["images"] == 4


def test_eval_retries_after_the_retry_after(
    run: Run, fake: FakeServer, labelled: tuple[Path, Path]
) -> None:
    fake.busy = 3
    assert only_object(run("eval", *labelled, "--json"))["images"] == 40


@pytest.mark.parametrize("command", ["recognize", "eval", "bench", "demo", "model"])
def test_every_command_takes_the_name_of_a_model(
    run: Run, labelled: tuple[Path, Path], tmp_path: Path, command: str
) -> None:
    np.save(tmp_path / "one.npy", frame(3))
    given = {"recognize": [tmp_path / "one.npy"], "eval": labelled}.get(command, ())
    refused = run(command, *given, "--model", "absent")
    assert (refused.exit_code, "absent" in refused.stderr) == (2, True), refused.stderr


def test_demo_sends_its_token(run: Run, fake: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("open-sesame\n")
    shown = run(
        *("demo", "--images", 10, "--pens", 1),
        *("--token-file", tmp_path / "token", "--token-without-tls"),
    )
    assert shown.exit_code == 0, shown.stderr
    assert {seen["authorization"] for seen in fake.metadata} == {"Bearer open-sesame"}


def test_eval_rejects_files_that_do_not_belong_together(
    run: Run, labelled: tuple[Path, Path], tmp_path: Path
) -> None:
    images, labels = labelled
    assert "images first" in run("eval", labels, images).stderr
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"nothing")
    refused = run("eval", garbage, labels)
    assert refused.exit_code == 2
    assert "idx" in refused.stderr


def test_model_describes_what_is_served(run: Run) -> None:
    assert "fake" in run("model").stdout
    assert only_object(run("model", "--json"))["version"] == "1"
    absent = run("model", "--model", "absent")
    assert (absent.exit_code, "absent" in absent.stderr) == (2, True)


@pytest.mark.parametrize(
    ("card", "shown"), [('{"accuracy": 0.994}', "0.994"), ("no json", "no json"), ("[1]", "[1]")]
)
def test_model_shows_any_card(run: Run, fake: FakeServer, card: str, shown: str) -> None:
    fake.card_json = card
    assert shown in run("model").stdout


def test_model_wraps_no_value(run: Run, fake: FakeServer) -> None:
    fake.card_json = json.dumps({"description": "long " * 40})
    lines = run("model").stdout.splitlines()
    assert "sha256       " + "ab" * 32 in lines
    assert len(lines) == 5


def test_ping_says_that_a_server_is_ready(run: Run, fake: FakeServer) -> None:
    shown = run("ping")
    assert shown.exit_code == 0
    assert f"{fake.address} is ready: digits/1, round trip" in shown.stdout
    figures = only_object(run("ping", "--json"))
    assert figures["round_trip_ms"] > 0
    assert figures["model"] == "digits/1"


def test_ping_says_that_a_server_is_not_ready(run: Run, fake: FakeServer) -> None:
    absent = run("ping", "--server", "127.0.0.1:1")
    assert (absent.exit_code, absent.stdout) == (3, "")
    fake.answering.clear()
    silent = run("ping", "--timeout", 0.05)
    assert (silent.exit_code, silent.stdout) == (3, "")
    assert "no answer within 0.05 s" in silent.stderr
    assert run("ping", "--model", "absent").exit_code == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full")
@pytest.mark.parametrize("words", [("model",), ("model", "--json"), ("recognize",), ("--help",)])
def test_output_that_cannot_be_written_is_reported(
    fake: FakeServer, tmp_path: Path, words: tuple[str, ...]
) -> None:
    np.save(tmp_path / "one.npy", frame(3))
    files = [tmp_path / "one.npy"] if words == ("recognize",) else []
    server = ["--server", fake.address] if "--help" not in words else []
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "inkstream", *words, *files, *server],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: standard output cannot be written")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "load",
    [
        ("--streams", 2, "--in-flight", 3),
        ("--rate", 400, "--streams", 2),
        ("--images-per-message", 16),
    ],
)
def test_bench_reports_throughput_latency_and_errors(run: Run, load: tuple[object, ...]) -> None:
    figures = only_object(run("bench", "--duration", 0.2, "--json", *load))
    assert figures["images"] > 0
    assert figures["latency_ms"].keys() == {"p50", "p90", "p99", "p99.9"}
    assert figures["errors"] == {}
    assert figures["lag_ms"].keys() == ({"p50", "p99"} if "--rate" in load else set())
    assert figures["streams"] == (2 if "--streams" in load else 1)


def test_bench_prints_a_summary_without_json(run: Run) -> None:
    shown = run("bench", "--duration", 0.1)
    assert shown.exit_code == 0
    assert "images/s" in shown.stdout
    assert "none" in shown.stdout
    assert shown.stderr == ""


def test_bench_keeps_its_duration_at_any_rate(run: Run) -> None:
    figures = only_object(run("bench", "--rate", 10_000_000, "--duration", 0.2, "--json"))
    assert 0 < figures["offered"] < 2_000_000
    assert figures["offered"] == figures["images"] + figures["unanswered"]


def test_bench_ends_without_answers(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    connected: set[object] = set()

    async def recognize(self: inkstream.AsyncClient, images: np.ndarray) -> object:
        if self in connected:
            await asyncio.Event().wait()
        connected.add(self)
        return await self.submit(images)

    monkeypatch.setattr(inkstream.AsyncClient, "recognize", recognize)
    monkeypatch.setattr(_bench, "_GRACE_S", 0.0)
    ended = run("bench", "--rate", 1000, "--duration", 0.1, "--json")
    figures = only_object(ended)
    assert figures["images"] == 0
    assert figures["unanswered"] == figures["offered"] > 0
    assert ended.exit_code == 1


def test_bench_says_if_it_is_the_limit_itself(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_bench, "_LAG_MS", -1.0)
    shown = run("bench", "--duration", 0.1, "--rate", 500, "--json")
    assert "not the server" in " ".join(shown.stderr.split())
    assert only_object(shown)["images"] > 0


def test_bench_counts_failed_images(run: Run, fake: FakeServer) -> None:
    fake.break_after = 2
    figures = only_object(run("bench", "--duration", 0.2, "--json"))
    assert figures["errors"]["ConnectionLost"] > 0


def test_demo_shows_a_server_at_work(run: Run) -> None:
    shown = run("demo", "--images", 30)
    assert shown.exit_code == 0
    for figure in (
        "pen-up to answer",
        "accuracy",
        "throughput",
        "latency",
        "mean batch",
        "but it is",
    ):
        assert figure in shown.stdout
    assert "pen simulator" in shown.stderr


def test_demo_prints_json(run: Run) -> None:
    figures = only_object(run("demo", "--images", 30, "--json"))
    assert (figures["images"], figures["digits"], figures["mean_batch"]) == (30, "drawn", None)
    assert (figures["ink"]["pens"], figures["ink"]["digits"]) == (6, 18)
    bare = only_object(run("demo", "--images", 30, "--pens", 0, "--json"))
    assert bare["ink"] is None


def test_an_error_about_a_missing_server_says_what_to_try(run: Run) -> None:
    shown = run("model", "--server", "127.0.0.1:1")
    assert shown.exit_code == 3
    assert shown.stdout == ""
    assert "inkstream-server serve" in shown.stderr


def test_an_interruption_has_its_exit_code(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(inkstream.Client, "model", interrupt)
    assert run("model").exit_code == 130


def test_an_interruption_while_the_command_is_loaded_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(inkstream.cli, "main", interrupt)
    with pytest.raises(SystemExit) as ended:
        inkstream_command.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "Interrupted.\n"


def test_the_library_does_without_the_command_lines_packages() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('click', 'rich', 'PIL')))\n"
        "import inkstream, inkstream.cli; inkstream.cli.main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "inkstream[cli]" in ended.stderr


def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["inkstream", "recognize", "seven.png"])
    monkeypatch.delitem(sys.modules, "inkstream.cli.commands.recognize", raising=False)
    monkeypatch.setitem(sys.modules, "inkstream.cli.picture_files", None)
    with pytest.raises(ModuleNotFoundError):
        inkstream.cli.main()
    monkeypatch.delitem(sys.modules, "inkstream.cli.picture_files")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(SystemExit):
        inkstream.cli.main()
    assert "needs PIL" in capsys.readouterr().err
    monkeypatch.delitem(sys.modules, "inkstream.cli.app")
    monkeypatch.setitem(sys.modules, "click", None)
    with pytest.raises(SystemExit):
        inkstream.cli.main()
    assert "inkstream[cli]" in capsys.readouterr().err


def test_the_command_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["inkstream", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("inkstream", run_name="__main__")
    assert ended.value.code == 0


def test_the_command_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "inkstream", "--version"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert inkstream.__version__ in shown.stdout
