"""Finds models in a folder of `<name>/<version>/{model.keras, model.tflite, card.json}` and loads them.

Of a name's versions the newest is served, or the one that its file `<name>/serving` names. A version is
there when its card is: the card is written last. What was published never changes; a change is a version.
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
from inkstream_server.model_store import sample as model_sample

CARD = "card.json"
PIN = "serving"
"""File beside the versions: one line, the version to serve in place of the newest."""

BUNDLED = config.BUNDLED
"""The models that come with the package."""


class ModelError(Exception):
    """A model that cannot be served; the message says which, why and what would mend it."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model that is loaded, warmed and ready to answer."""

    name: str
    """Folder it came from, for example "digits"."""
    version: str
    """Folder below that, for example "1"."""
    sha256: str
    """Digest of the file that the engine runs, equal to the card's."""
    card_json: str
    """The card, as its file holds it."""
    engine: Engine
    """Computes its answers."""
    rule: RejectRule = ACCEPT_ALL
    """When they are rejected, as the card says."""

    @property
    def label(self) -> str:
        """Name and version as answers carry them, for example "digits/1"."""
        return f"{self.name}/{self.version}"


def load(store: Path, wanted: str, engine: str = "litert") -> Model:
    """Load the model to serve; see `find` and `load_folder`."""
    return load_folder(find(store, wanted), engine)


def load_folder(folder: Path, engine: str = "litert", tried: str | None = None) -> Model:
    """Load a version, warm it for every batch bucket, and try it, all in this process.

    Args:
        folder: its `<name>/<version>`.
        engine: a key of `config.ENGINES`.
        tried: SHA-256 of the file that another process tried, which nothing else may be loaded in place of;
            None where nobody tried it.

    Raises:
        ModelError: not there, not what its card says, or not a digit model.
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
            f"{folder / file} was changed after it was tried: write a version once, and its card last"
        )
    if sha256 != expected:
        raise ModelError(
            f"{folder / file}: sha256 is {sha256}, its card says {expected}: "
            "the file was changed after the card was written; export the model again"
        )
    try:
        rule = rule_of(card_json)
    except ValueError as error:
        raise ModelError(f"the card of model {_label(folder)}: {error}") from error
    try:
        loaded = _make(engine, folder / file, content)
        model_sample.check(loaded, card_json)
    except model_sample.SampleError as error:
        raise ModelError(
            f"{folder / file} does not answer the built-in sample as it should: {error}; "
            "export the model again"
        ) from error
    except (ValueError, RuntimeError, OSError) as error:
        raise ModelError(
            f"{folder / file} cannot be loaded: {error}; export the model again"
        ) from error
    return Model(folder.parent.name, folder.name, sha256, card_json, loaded, rule)


def find(store: Path, wanted: str) -> Path:
    """Find a model's folder.

    Args:
        store: the folder of models.
        wanted: "name/version", or "name" for the version that is pinned, else the newest.

    Raises:
        ModelError: no such model; the message lists what there is.
    """
    name, _, version = wanted.partition("/")
    pinned = None if version else pinned_version(store, name)
    return _one(store, name, version or pinned, wanted, PIN if pinned else "model")


def versions(store: Path, name: str) -> list[Path]:
    """Give the folders of a name's versions, oldest first; numbers are ordered as numbers."""
    cards = (store / name).glob(f"*/{CARD}")
    return sorted((card.parent for card in cards), key=lambda folder: order(folder.name))


def order(version: str) -> tuple[int, str]:
    """Give what versions are sorted by: numbers as numbers, and after all that are none."""
    return (int(version), "") if version.isdecimal() else (-1, version)


def pinned_version(store: Path, name: str) -> str | None:
    """Give the version that is pinned; None for the newest.

    Raises:
        ModelError: the file of the pin cannot be read.
    """
    path = store / name / PIN
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error


def pin(store: Path, name: str, version: str | None) -> None:
    """Say which version of a name is to be served; servers that watch the store follow.

    Args:
        store: the folder of models.
        name: the model.
        version: the version; None for the newest, whichever that is.

    Raises:
        ModelError: no such version, or the store may not be written.
    """
    path = store / name / PIN
    try:
        if version is None:
            path.unlink(missing_ok=True)
            return
        _one(store, name, version, f"{name}/{version}", "model")
        # Written aside, so that a reader sees all of it or none.
        part = path.with_name(f".{PIN}.{os.getpid()}")
        part.write_text(version + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise ModelError(f"{path} cannot be written: {error.strerror}") from error


def _one(store: Path, name: str, version: str | None, wanted: str, field: str) -> Path:
    """Give a version's folder, the newest for None; `field` says who asked, should there be none."""
    folders = [it for it in versions(store, name) if version in (None, it.name)]
    if folders:
        return folders[-1]
    there = ", ".join(sorted(_label(card.parent) for card in store.glob(f"*/*/{CARD}")))
    if field == PIN:
        path = store / name / PIN
        raise ModelError(
            f"{path} names version {version!r}, which is not there; there: {there or 'none'}: "
            f"`inkstream-server models serve {name}` serves the newest again"
        )
    raise ModelError(f"model: no {wanted!r} in {store}; there: {there or 'none'}")


def _label(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


def _make(name: str, path: Path, content: bytes) -> Engine:
    """Import an engine and make it of a model's file."""
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
    """Give the card's text and the sha256 that it states for `file`."""
    path = folder / CARD
    try:
        text = path.read_text(encoding="utf-8")
        stated = json.loads(text)["files"][file]
        expected = stated["sha256"] if isinstance(stated, dict) else stated
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}: export the model again") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"{path}: states no sha256 for {file}: export the model again") from error
    return text, str(expected)
