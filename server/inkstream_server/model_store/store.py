"""Finds models in a folder of `<name>/<version>/{model.keras, model.tflite, card.json}` and loads them.

A version that reads strokes has a second network in `strokes.keras` and `strokes.tflite`.

The newest version of a name is served, or the one that the file `<name>/serving` names. A version exists when
its card exists, which is therefore written last. A published version never changes; each change is a new
version.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from pkgutil import resolve_name
from typing import Final

from inkstream_server import config
from inkstream_server.confidence.rejection import rule_of
from inkstream_server.engines import Engine, Frames
from inkstream_server.engines.form import TRACES, Form
from inkstream_server.errors import shown
from inkstream_server.model_store import card as model_card
from inkstream_server.model_store import sample as model_sample
from inkstream_server.model_store.network import LoadedNetwork, measure_row_ns
from inkstream_server.model_store.pair import PairEngine, rows_of, weights_of
from inkstream_server.process.files import read_regular

CARD = model_card.FILE
PIN = "serving"
"""File beside the versions with one line: the version to serve instead of the newest."""

MOST_PIN_BYTES: Final = 512
"""Largest file `serving`; a name in a folder has at most 255 bytes."""

MOST_ENTRIES: Final = 1000
"""Most entries of a folder of the store, and so most versions of a name."""

MOST_LISTED: Final = 20
"""Most versions that an error lists."""

_FILES: Final = (
    CARD,
    *(file for kind in config.ENGINES.values() for file in (kind.file, kind.strokes_file)),
)

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
    """Digest of the file with the network for images, equal to the one in the card."""
    card_json: str
    """The text of its card."""
    images: LoadedNetwork
    """Answers images."""
    ink: LoadedNetwork
    """Answers ink; `images` itself if the model has no network for strokes."""
    digest: str = ""
    """SHA-256 of the card and the files together, by which another process knows them again."""

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
        tried: `Model.digest` of what another process tried, so that nothing else is parsed or loaded instead;
            None if none was tried.

    Raises:
        ModelError: the version does not exist, differs from its card, or is no model of digits.
    """
    label = _label(folder)
    if not label.isprintable():
        raise ModelError(f"model '{shown(label)}': its name cannot be printed: rename it")
    kind = config.ENGINES[engine]
    try:
        card_bytes = model_card.read(folder)
        _require_file(card_bytes, kind.file, label, engine)
        file = _File.read(folder / kind.file)
        strokes_path = folder / kind.strokes_file
        strokes_file = _File.read(strokes_path) if os.path.lexists(strokes_path) else None
    except OSError as error:
        raise ModelError(f"{error.filename}: {error.strerror}: export the model again") from error
    digest = _digest(card_bytes, file, strokes_file)
    if tried not in (None, digest):
        raise ModelError(
            f"{folder} was changed after it was tried: write each version once, and its card last"
        )
    try:
        card = model_card.parse(card_bytes)
        file.require(model_card.digests(card))
        rule = rule_of(card_bytes.decode())
        form = model_card.form_of(card)
        weights = weights_of(card)
        if weights is not None:
            if strokes_file is None:
                raise ValueError(f"strokes: there is no file {kind.strokes_file}")
            strokes_file.require(model_card.digests(card))
    except ValueError as error:
        raise ModelError(f"the card of model {label}: {error}; export the model again") from error
    frames = model_sample.frames()
    drawn = _make(engine, file, form, frames, card.get("sample"))
    images = ink = LoadedNetwork(label, drawn, rule, row_ns=measure_row_ns(drawn, frames))
    if weights is not None and strokes_file is not None:
        traces = model_sample.traces()
        written = _make(engine, strokes_file, TRACES, traces, card["strokes"].get("sample"))
        pair = PairEngine(drawn, written, weights)
        # The weights replace the temperature: they bring answers to the scale of the thresholds.
        ink = LoadedNetwork(
            label,
            pair,
            replace(rule, ink_temperature=1.0),
            "strokes",
            measure_row_ns(pair, rows_of(frames, traces)),
        )
    name, version = folder.parent.name, folder.name
    return Model(name, version, file.sha256, card_bytes.decode(), images, ink, digest)


def _require_file(card_bytes: bytes, file: str, label: str, engine: str) -> None:
    """Say which engines a version is for, if it lacks the file of this one by its card."""
    try:
        named = model_card.digests(model_card.parse(card_bytes))
    except ValueError:
        return  # `load_folder` says what is wrong.
    others = [name for name, kind in config.ENGINES.items() if kind.file in named]
    if file not in named and others:
        raise ModelError(
            f"{label} has no {file}, because it was added without one: choose --engine {others[0]}, or add "
            "the network's .keras file"
        )


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
    """Give the folders of a name's versions, oldest first; see `order`.

    Raises:
        ModelError: the folder cannot be read, or holds more than `MOST_ENTRIES`.
    """
    folders = (store / name / entry for entry in _entries(store / name))
    found = [folder for folder in folders if os.path.exists(folder / CARD)]  # noqa: PTH110 (never raises)
    return sorted(found, key=lambda folder: order(folder.name))


def every_version(store: Path) -> Iterator[Path]:
    """Give the folders of all versions in a store, by name and then oldest first.

    Raises:
        ModelError: see `versions`.
    """
    for name in sorted(_entries(store)):
        yield from versions(store, name)


def files_of(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Give name, size and time of change of each file of a version that a server reads."""
    found = []
    for name in _FILES:
        try:
            state = (folder / name).stat()
        except OSError:  # Reading it gives the reason.
            continue
        found.append((name, state.st_size, state.st_mtime_ns))
    return tuple(found)


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
        return read_regular(path, MOST_PIN_BYTES).decode().strip() or None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{path} cannot be read: it is not UTF-8") from error


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
    there = ", ".join(map(_label, islice(every_version(store), MOST_LISTED))) or "none"
    if field == PIN:
        path = store / name / PIN
        raise ModelError(
            f"{path} names version '{shown(version)}', which does not exist; there are {shown(there)}: "
            f"`inkstream-server models serve {name}` serves the newest again"
        )
    raise ModelError(f"model: no '{shown(wanted)}' in {store}; there are {shown(there)}")


def _entries(folder: Path) -> list[str]:
    """Give the names in a folder; none if there is no such folder.

    Raises:
        ModelError: it cannot be read, or holds too many.
    """
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in islice(entries, MOST_ENTRIES + 1)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ModelError(f"{folder} cannot be read: {error.strerror}") from error
    if len(names) > MOST_ENTRIES:
        raise ModelError(f"{folder} holds more than {MOST_ENTRIES} entries: remove old versions")
    return names


def _label(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


@dataclass(frozen=True, slots=True)
class _File:
    """A file of a version."""

    path: Path
    content: bytes
    sha256: str

    @staticmethod
    def read(path: Path) -> "_File":
        content = read_regular(path, config.MOST_MODEL_BYTES)
        return _File(path, content, hashlib.sha256(content).hexdigest())

    def require(self, digests: dict[str, str]) -> None:
        """Raise an error if a card states no digest of the file, or another one."""
        expected = digests.get(self.path.name)
        if expected is None:
            raise ValueError(f"has no sha256 for {self.path.name}")
        if self.sha256 != expected:
            raise ModelError(
                f"{self.path}: sha256 is {self.sha256}, its card says {expected}: "
                "the file was changed after the card was written; export the model again"
            )


def _make(name: str, file: _File, form: Form, sample: Frames, recorded: object) -> Engine:
    """Import an engine, make it from a file, and try it on a sample; see `sample.check`."""
    try:
        factory = resolve_name(config.ENGINES[name].factory)
    except ImportError as error:
        raise ModelError(
            f"engine {name} cannot be imported ({error}): install 'inkstream-server[{name}]', or choose "
            "another --engine"
        ) from error
    try:
        made: Engine = factory(file.path, file.content, form)
        model_sample.check(made, sample, recorded)
    except model_sample.SampleError as error:
        raise ModelError(
            f"{file.path} fails on the built-in sample: {error}; export the model again"
        ) from error
    except (ValueError, RuntimeError, OSError) as error:
        raise ModelError(
            f"{file.path} cannot be loaded: {shown(str(error))}; export the model again"
        ) from error
    return made


def _digest(card: bytes, *files: _File | None) -> str:
    """Give the SHA-256 of a card and of the digests of a version's files."""
    digests = [bytes.fromhex(file.sha256) for file in files if file is not None]
    return hashlib.sha256(b"".join([card, *digests])).hexdigest()
