from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
from pathlib import Path

import pytest
from inkstream_server.model_store.store import BUNDLED, ModelError, load_folder
from inkstream_server.model_store.trial import NICENESS, attempt

from tests.damage import UNGUARDED, Damage, circle, damage, half, huge, no_weights, wrong_bias
from tests.patience import eventually

ENOUGH = 100.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(BUNDLED / "digits" / "3", tmp_path / "digits" / "2")
    return tmp_path / "digits" / "2"


def hang(folder: Path) -> None:
    """Make reads of a version's file block for ever."""
    (folder / "model.tflite").unlink()
    os.mkfifo(folder / "model.tflite")


def others() -> list[int]:
    """Find the child processes that try a version."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            is_trial = b"model_store.trial" in (process / "cmdline").read_bytes()
        except OSError:  # The process has ended in between.
            continue
        if parent == os.getpid() and is_trial:
            found.append(int(process.name))
    return found


def held_by(process: int) -> list[str]:
    """Give the files that a process has open."""
    return [str(it.readlink()) for it in Path(f"/proc/{process}/fd").iterdir()]


async def test_a_sound_version_is_known_by_its_digest(folder: Path) -> None:
    tried = await attempt(folder, "litert", ENOUGH)
    assert (
        tried == json.loads((folder / "card.json").read_text())["files"]["model.tflite"]["sha256"]
    )
    assert load_folder(folder, tried=tried).sha256 == tried


@pytest.mark.slow  # Imports Keras in another process.
async def test_keras_goes_through_another_process_too(folder: Path) -> None:
    pytest.importorskip(
        "tensorflow", reason="TensorFlow is not installed: pip install -e 'server[keras]'"
    )
    tried = await attempt(folder, "keras", ENOUGH)
    assert tried == json.loads((folder / "card.json").read_text())["files"]["model.keras"]["sha256"]


async def test_a_version_that_crashes_the_engine_ends_only_the_trial(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(UNGUARDED)
    damage(folder, circle)
    with pytest.raises(ModelError, match=r"digits/2 crashes the engine: .*SIG.*: export the model"):
        await attempt(folder, "litert", ENOUGH)


@pytest.mark.parametrize(
    ("how", "complaint"),
    [(half, "no plain LiteRT model"), (wrong_bias, "built-in sample"), (huge, "cannot be loaded")],
)
async def test_a_refusal_carries_the_message_of_the_other_process(
    folder: Path, how: Damage, complaint: str
) -> None:
    damage(folder, how)
    with pytest.raises(ModelError, match=rf"model\.tflite .*{complaint}.*export the model again"):
        await attempt(folder, "litert", ENOUGH)


async def test_a_version_that_takes_too_long_is_refused(folder: Path) -> None:
    hang(folder)
    with pytest.raises(ModelError, match=r"digits/2 took more than 1 s to load and try: .*touch"):
        await attempt(folder, "litert", 1.0)
    assert others() == []


async def test_the_other_process_has_low_priority_no_sockets_and_ends_with_its_caller(
    folder: Path,
) -> None:
    hang(folder)
    with socket.create_server(("127.0.0.1", 0)) as ours:
        ours.set_inheritable(True)
        trying = asyncio.create_task(attempt(folder, "litert", ENOUGH))
        await eventually("another process tries it", lambda: len(others()) == 1)
        (other,) = others()
        assert os.getpriority(os.PRIO_PROCESS, other) == NICENESS
        assert not [it for it in held_by(other) if it.startswith("socket")]
        trying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await trying
    await eventually("the other process has ended", lambda: others() == [])


async def test_a_file_that_changed_after_its_trial_is_not_loaded(folder: Path) -> None:
    tried = await attempt(folder, "litert", ENOUGH)
    damage(folder, no_weights)
    with pytest.raises(ModelError, match=r"model\.tflite was changed after it was tried"):
        load_folder(folder, tried=tried)


async def test_a_version_that_cannot_be_tried_is_not_sound(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(ModelError, match=r"cannot be tried, .*No such file.*: export .* or touch"):
        await attempt(folder, "litert", ENOUGH)
