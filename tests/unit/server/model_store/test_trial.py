from __future__ import annotations

import asyncio
import os
import resource
import shutil
import socket
from contextlib import suppress
from pathlib import Path

import pytest
from inkstream_server.model_store.store import BUNDLED, ModelError, load_folder
from inkstream_server.model_store.trial import attempt
from inkstream_server.process.confined import NICENESS

from tests.damage import UNGUARDED, Damage, circle, damage, half, huge, wrong_bias
from tests.patience import eventually

ENOUGH = 100.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(BUNDLED / "digits" / "4", tmp_path / "digits" / "2")
    return tmp_path / "digits" / "2"


@pytest.fixture
def hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other processes never get anywhere."""
    (tmp_path / "sitecustomize.py").write_text("import signal\nsignal.pause()")
    monkeypatch.syspath_prepend(tmp_path)


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
    found = []
    for it in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):  # The process has closed it in between.
            found.append(str(it.readlink()))
    return found


async def test_a_sound_version_is_known_by_its_digest(folder: Path) -> None:
    tried = await attempt(folder, "litert", ENOUGH)
    assert load_folder(folder, tried=tried).digest == tried


@pytest.mark.slow  # Imports Keras in another process.
async def test_keras_goes_through_another_process_too(folder: Path) -> None:
    pytest.importorskip(
        "tensorflow", reason="TensorFlow is not installed: pip install -e 'server[keras]'"
    )
    assert len(await attempt(folder, "keras", ENOUGH)) == 64


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


@pytest.mark.usefixtures("hangs")
async def test_a_version_that_takes_too_long_is_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"digits/2 took more than 1 s to load and try: .*touch"):
        await attempt(folder, "litert", 1.0)
    assert others() == []


@pytest.mark.usefixtures("hangs")
async def test_the_other_process_has_low_priority_no_sockets_and_ends_with_its_caller(
    folder: Path,
) -> None:
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


@pytest.mark.parametrize("file", ["model.tflite", "card.json"])
async def test_what_changed_after_its_trial_is_neither_parsed_nor_loaded(
    folder: Path, file: str
) -> None:
    tried = load_folder(folder).digest
    with (folder / file).open("ab") as changed:
        changed.write(b"x")
    with pytest.raises(ModelError, match=r"digits/2 was changed after it was tried"):
        load_folder(folder, tried=tried)


async def test_the_output_of_the_other_process_is_kept_in_part(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    megabytes = 64
    (tmp_path / "sitecustomize.py").write_text(
        f"import os\nfor _ in range({megabytes}): os.write(2, b'x' * 2**20)\n"
        "os.write(2, b'\\nthe end')\nos._exit(3)"
    )
    monkeypatch.syspath_prepend(tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError, match=r"exit code 3 and no answer \(the end\)"):
        await attempt(folder, "litert", ENOUGH)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < megabytes / 4 * 1024, "kilobytes"


async def test_a_version_that_cannot_be_tried_is_not_sound(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(ModelError, match=r"cannot be tried, .*No such file.*: export .* or touch"):
        await attempt(folder, "litert", ENOUGH)
