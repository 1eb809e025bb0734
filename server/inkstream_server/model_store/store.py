"""Finds models in a folder of `<name>/<version>/{model.keras, model.tflite, card.json}` and loads them.

The newest version of a name is served, or the one that the file `<name>/serving` names. A version exists when
its card exists, which is therefore written last. A published version never changes; each change is a new
version.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name

from inkstream_server import config
from inkstream_server.confidence.rejection import ACCEPT_ALL, RejectRule, rule_of
from inkstream_server.engines import Engine
from inkstream_server.errors import shown
from inkstream_server.model_store import sample as model_sample

CARD = "card.json"
PIN = "serving"
"""File beside the versions with one line: the version to serve instead of the newest."""

BUNDLED = config.BUNDLED
"""The models that come with the package."""


class ModelError(Exception):
    """A model cannot be served; the message says which, why and what to do."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model that is loaded and warm."""

    name: str
    """Its folder in the store, for example "digits"."""
    version: str
    """Its folder below that, for example "1"."""
    sha256: str
    """Digest of the file that the engine runs, equal to the one in the card."""
    card_json: str
    """The text of its card."""
    engine: Engine
    """The engine that computes its answers."""
    rule: RejectRule = ACCEPT_ALL
    """When answers are rejected, as the card says."""

    @property
    def label(self) -> str:
        """Name and version as answers carry them, for example "digits/1"."""
        return f"{self.name}/{self.version}"


def load(store: Path, wanted: str, engine: str = "litert") -> Model:
    """Load the model to serve; see `find` and `load_folder`."""
    return load_folder(find(store, wanted), engine)


def load_folder(folder: Path, engine: str = "litert", tried: str | None = None) -> Model:
    """Load a version, warm it for every bucket, and try it on the sample, all in this process.

    Args:
        folder: the folder `<name>/<version>`.
        engine: a key of `config.ENGINES`.
        tried: SHA-256 of the file that another process tried, so that no other file is loaded instead; None
            if none was tried.

    Raises:
        ModelError: the version does not exist, differs from its card, or is no model of digits.
    """
    file = config.ENGINES[engine].file
    card_json, expected = _read_card(folder, file)
    try:
        content = (folder / file).read_bytes()
    except OSError as error:
        raise ModelError(f"{folder / file}: {error.strerror}: export the model again") from error
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != (tried or sha256):
        raise ModelError(
            f"{folder / file} was changed after it was tried: write each version once, and its card last"
        )
    if sha256 != expected:
        raise ModelError(
            f"{folder / file}: sha256 is {sha256}, its card says {expected}: "
            "the file was changed after the card was written; export the model again"
        )
    try:
        rule = rule_of(card_json)
    except ValueError as error:
        raise ModelError(f"the card of model {shown(_label(folder))}: {error}") from error
    try:
        loaded = _make(engine, folder / file, content)
        model_sample.check(loaded, card_json)
    except model_sample.SampleError as error:
        raise ModelError(
            f"{folder / file} fails on the built-in sample: {error}; export the model again"
        ) from error
    except (ValueError, RuntimeError, OSError) as error:
        raise ModelError(
            f"{folder / file} cannot be loaded: {shown(str(error))}; export the model again"
        ) from error
    return Model(folder.parent.name, folder.name, sha256, card_json, loaded, rule)


def find(store: Path, wanted: str) -> Path:
    """Find the folder of a model.

    Args:
        store: the folder of models.
        wanted: "name/version", or "name" for the pinned version, else the newest.

    Raises:
        ModelError: there is no such model; the message lists those in the store.
    """
    name, _, version = wanted.partition("/")
    pinned = None if version else pinned_version(store, name)
    return _one(store, name, version or pinned, wanted, PIN if pinned else "model")


def versions(store: Path, name: str) -> list[Path]:
    """Give the folders of a name's versions, oldest first; see `order`."""
    cards = (store / name).glob(f"*/{CARD}")
    return sorted((card.parent for card in cards), key=lambda folder: order(folder.name))


def order(version: str) -> tuple[int, str]:
    """Give the sort key of a version: numbers by their value, and before them all other names."""
    return (int(version), "") if version.isdecimal() else (-1, version)


def pinned_version(store: Path, name: str) -> str | None:
    """Give the pinned version; None if none is pinned.

    Raises:
        ModelError: the pin cannot be read.
    """
    path = store / name / PIN
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} cannot be read: {shown(str(error))}") from error


def pin(store: Path, name: str, version: str | None) -> None:
    """Pin the version of a name that servers of this store serve.

    Args:
        store: the folder of models.
        name: the model.
        version: the version; None to remove the pin, so that the newest is served.

    Raises:
        ModelError: there is no such version, or the store cannot be written.
    """
    path = store / name / PIN
    try:
        if version is None:
            path.unlink(missing_ok=True)
            return
        _one(store, name, version, f"{name}/{version}", "model")
        # Renamed when it is complete, so that a reader sees all of it or nothing.
        part = path.with_name(f".{PIN}.{os.getpid()}")
        part.write_text(version + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise ModelError(f"{path} cannot be written: {error.strerror}") from error


def _one(store: Path, name: str, version: str | None, wanted: str, field: str) -> Path:
    """Give the folder of a version, None for the newest; `field` names the source of `wanted` in errors."""
    folders = [it for it in versions(store, name) if version in (None, it.name)]
    if folders:
        return folders[-1]
    labels = sorted(_label(card.parent) for card in store.glob(f"*/*/{CARD}"))
    there = ", ".join(labels) or "none"
    if field == PIN:
        path = store / name / PIN
        raise ModelError(
            f"{path} names version '{shown(version)}', which does not exist; there are {shown(there)}: "
            f"`inkstream-server models serve {name}` serves the newest again"
        )
    raise ModelError(f"model: no '{shown(wanted)}' in {store}; there are {shown(there)}")


def _label(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


def _make(name: str, path: Path, content: bytes) -> Engine:
    """Import an engine and make it from a model's file."""
    try:
        factory = resolve_name(config.ENGINES[name].factory)
    except ImportError as error:
        raise ModelError(
            f"engine {name} cannot be imported ({error}): install 'inkstream-server[{name}]', or choose "
            "another --engine"
        ) from error
    made: Engine = factory(path, content)
    return made


def _read_card(folder: Path, file: str) -> tuple[str, str]:
    """Give the text of the card and the sha256 in it for `file`."""
    path = folder / CARD
    try:
        text = path.read_text(encoding="utf-8")
        stated = json.loads(text)["files"][file]
        expected = stated["sha256"] if isinstance(stated, dict) else stated
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}: export the model again") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"{path}: has no sha256 for {file}: export the model again") from error
    return text, str(expected)
