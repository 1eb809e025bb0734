"""Adds a file as the next version of a name: reads it, has it examined, and publishes it, its card last."""

import asyncio
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from inkstream_server.config import ENGINES, Config
from inkstream_server.errors import shown
from inkstream_server.model_import import examination
from inkstream_server.model_import.sources import Source, SourceError, read_source
from inkstream_server.model_store import store as model_store
from inkstream_server.model_store import trial
from inkstream_server.model_store.store import CARD, ModelError

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What a model may be called: a folder's name that needs no quotes anywhere."""

_TRIES: Final = 20
"""How often another number is taken because somebody else has just published that one."""


@dataclass(frozen=True, slots=True)
class Added:
    """A version that was added."""

    folder: Path
    """Where it is, `<store>/<name>/<version>`."""
    source: Source
    """What was read."""
    found: dict[str, Any]
    """The fields of `examination.Findings`."""
    sizes: dict[str, int]
    """Bytes of each of its files."""

    @property
    def label(self) -> str:
        """Name and version, for example "digits/5"."""
        return f"{self.folder.parent.name}/{self.folder.name}"


def add(
    file: Path,
    name: str | None,
    store: Path,
    pixels: int | None = None,
    images: tuple[Path, Path] | None = None,
    step: Callable[[str], object] = bool,
) -> Added:
    """Add a file of a network as a version. Nothing is written to the store unless the version is sound.

    Args:
        file: a `.keras` or `.tflite` file.
        name: the name of the model; None to take that of the file.
        store: the folder of models; made if it is missing.
        pixels: the value of full ink in the network's input, 1 or 255; None to tell it by trying.
        images: files with images and their labels, to calibrate with.
        step: is called with each step, as it begins.

    Raises:
        SourceError: the file cannot be added; says why, and what to do.
        ModelError: the version is not sound, or the store cannot be read.
    """
    name = name_of(file) if name is None else name
    if not NAME.fullmatch(name):
        raise SourceError(
            f"--name: expected letters, digits, '.', '_' and '-', at most 64, got '{shown(name)}'"
        )
    step(f"reading {shown(str(file))}")
    source = read_source(file)
    try:
        with TemporaryDirectory(prefix="inkstream-") as aside:
            folder = Path(aside) / name / str(_next_number(store, name))
            folder.mkdir(parents=True)
            (folder / f"{examination.SOURCE}.{source.format}").write_bytes(source.content)
            try:
                found = examination.examine(folder, pixels, images, step)
            except SourceError as error:
                named = str(error).startswith("--")
                raise SourceError(str(error) if named else f"{file}: {error}") from error
            files = {
                it.name: it.read_bytes()
                for it in (folder / kind.file for kind in ENGINES.values())
                if it.is_file()
            }
            card = _card(file, source, found, files)
            step("trying it as a server does")
            _write_card(folder, card)
            asyncio.run(trial.attempt(folder, "litert", Config().model_timeout))
        published = _publish(store, name, files, card)
    except OSError as error:
        raise SourceError(f"{error.filename or store}: {error.strerror}") from error
    return Added(published, source, found, {it: len(content) for it, content in files.items()})


def name_of(file: Path) -> str:
    """Give the name that a model takes from its file: "My CNN.keras" becomes "my-cnn"."""
    return re.sub(r"[^a-z0-9._]+", "-", file.stem.lower()).strip("-._")[:64] or "model"


def _card(
    file: Path, source: Source, found: dict[str, Any], files: dict[str, bytes]
) -> dict[str, Any]:
    """Write the card, all but its name and version."""
    calibration = found["calibration"] or {}
    card: dict[str, Any] = {
        "description": f"Added from {shown(file.name)}, {source.about}.",
        "created": datetime.now(UTC).date().isoformat(),
        "architecture": [shown(layer) for layer in found["layers"]],
        "parameters": found["weights"],
        "input": {"shape": found["shape"], "high": found["high"]},
        "output": "logits" if found["gives_logits"] else "probabilities",
        "latency_us": found["latency_us"],
        "libraries": found["libraries"],
        "sample": found["sample"],
        "files": {
            it: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            for it, content in files.items()
        },
    }
    if calibration:
        card["metrics"] = {
            "accuracy": calibration["accuracy"],
            "examples": calibration["images"],
        }
        card["image_temperature"] = calibration["temperature"]
    if "reject" in calibration:
        card["reject"] = calibration["reject"]
    return card


def _next_number(store: Path, name: str) -> int:
    """Give the number after the highest of all folders of a name, complete or not."""
    try:
        taken = os.listdir(store / name)  # noqa: PTH208 (names alone)
    except FileNotFoundError:
        return 1
    return 1 + max((model_store.order(it)[0] for it in taken), default=0)


def _publish(store: Path, name: str, files: dict[str, bytes], card: dict[str, Any]) -> Path:
    """Write a version under the next free number, so that a server sees all of it or nothing.

    Raises:
        OSError: the store cannot be written; nothing is left there.
    """
    for _ in range(_TRIES):
        folder = store / name / str(max(1, _next_number(store, name)))
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        try:
            for file, content in files.items():
                (folder / file).write_bytes(content)
            _write_card(folder, card)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return folder
    raise ModelError(f"{store / name}: others publish versions all the time: try again")


def _write_card(folder: Path, card: dict[str, Any]) -> None:
    """Write the card of a folder whose other files are complete."""
    named = {"name": folder.parent.name, "version": folder.name} | card
    part = folder / f".{CARD}.part"
    part.write_text(json.dumps(named, indent=2) + "\n", encoding="utf-8")
    part.replace(folder / CARD)
