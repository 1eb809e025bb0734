"""A store that somebody else can write to: the server goes on answering, stays small and stops in time."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from inkstream import AsyncClient
from inkstream_server.config import BUNDLED

from tests.integration.conftest import RunningServer, StartServer
from tests.patience import eventually

BLANK = np.zeros((28, 28), np.uint8)
MOST_GROWN_KB = 48 * 1024


def version(store: Path, name: str, change: Callable[[Path], None]) -> None:
    """Publish a bundled version that was changed."""
    aside = store / f"{name}.part"
    shutil.copytree(BUNDLED / "digits" / "1", aside)
    change(aside)
    aside.rename(store / "digits" / name)


def sparse(path: Path, size: int) -> None:
    path.touch()
    os.truncate(path, size)


def large_card(folder: Path) -> None:
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | {"note": "n" * 5_000_000}))


def deep_card(folder: Path) -> None:
    (folder / "card.json").write_text("[" * 100_000)


def pipe_for_model(folder: Path) -> None:
    (folder / "model.tflite").unlink()
    os.mkfifo(folder / "model.tflite")


def sparse_model(folder: Path) -> None:
    """Replace the model by one of 40 GB, which its card would describe rightly."""
    sparse(folder / "model.tflite", 40 << 30)
    card = json.loads((folder / "card.json").read_text())
    card["files"]["model.tflite"] = hashlib.sha256().hexdigest()
    (folder / "card.json").write_text(json.dumps(card))


def device_for_card(folder: Path) -> None:
    (folder / "card.json").unlink()
    (folder / "card.json").symlink_to("/dev/zero")


def peak_kb(server: RunningServer) -> int:
    """Give the most memory that a server has ever taken."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def refused(server: RunningServer) -> float:
    return server.metrics().value("inkstream_model_swaps_total", outcome="refused")


async def test_no_content_of_a_store_hangs_or_swells_the_server(
    start_server: StartServer, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    shutil.copytree(BUNDLED / "digits" / "1", store / "digits" / "1")
    server = start_server("--model-store", str(store), "--model-poll", "0.02")
    pin = store / "digits" / "serving"
    async with AsyncClient(server.address) as client:
        await client.recognize(BLANK)
        before = peak_kb(server)
        attacks = [large_card, deep_card, pipe_for_model, sparse_model, device_for_card]
        for number, attack in enumerate(attacks, 2):
            version(store, str(number), attack)
        await eventually("all are refused", lambda: refused(server) >= len(attacks))
        sparse(pin, 1500 << 20)
        await eventually("a sparse pin", lambda: "larger than 512 bytes" in server.stderr())
        pin.unlink()
        os.mkfifo(pin)
        await eventually("a pipe as pin", lambda: "no regular file" in server.stderr())
        assert (await client.model()).version == "1"
        await client.recognize(BLANK)
        assert peak_kb(server) - before < MOST_GROWN_KB
    lines = [it for it in server.stderr().splitlines() if "event=model_refused" in it]
    assert len(lines) == len(attacks), lines
    assert max(map(len, server.stderr().splitlines())) < 1000
    server.signal()
    assert server.wait() == 0
