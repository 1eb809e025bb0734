"""Finds models in a folder of `<name>/<version>/{model.keras, model.tflite, card.json}` and loads them."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from inkstream_server.engines import Engine

BUNDLED = Path(__file__).parent / "models"
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

    @property
    def label(self) -> str:
        """Name and version as answers carry them, for example "digits/1"."""
        return f"{self.name}/{self.version}"


def _litert(folder: Path) -> Engine:
    from inkstream_server.engines.litert import LiteRTEngine

    return LiteRTEngine(folder / "model.tflite")


def _keras(folder: Path) -> Engine:
    try:
        from inkstream_server.engines.keras import KerasEngine
    except ImportError as error:
        raise ModelError(
            "engine keras needs TensorFlow: install 'inkstream-server[keras]', or use --engine litert"
        ) from error
    return KerasEngine(folder / "model.keras")


ENGINES: dict[str, tuple[str, Callable[[Path], Engine]]] = {
    "litert": ("model.tflite", _litert),
    "keras": ("model.keras", _keras),
}
"""Every engine by the name it has in `--engine`: the file it runs, and what loads it from a folder.

Modules of engines are imported when one is asked for: TensorFlow takes seconds and hundreds of MB."""


def load(store: Path, wanted: str, engine: str = "litert") -> Model:
    """Load a model and warm it for every batch bucket.

    Args:
        store: the folder of models.
        wanted: "name" for its newest version, or "name/version".
        engine: a key of `ENGINES`.

    Raises:
        ModelError: not there, not what its card says, or not a digit model.
    """
    folder = find(store, wanted)
    file, make = ENGINES[engine]
    card_json, expected = _read_card(folder, file)
    try:
        sha256 = hashlib.sha256((folder / file).read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(f"{folder / file}: {error.strerror}: export the model again") from error
    if sha256 != expected:
        raise ModelError(
            f"{folder / file}: sha256 is {sha256}, its card says {expected}: "
            "the file was changed after the card was written; export the model again"
        )
    try:
        loaded = make(folder)
    except (ValueError, RuntimeError, OSError) as error:
        raise ModelError(f"{folder / file} cannot be loaded: {error}") from error
    return Model(folder.parent.name, folder.name, sha256, card_json, loaded)


def find(store: Path, wanted: str) -> Path:
    """Find a model's folder, the newest version when none is named.

    Versions that are numbers are ordered as numbers.

    Raises:
        ModelError: no such model; the message lists what there is.
    """
    name, _, version = wanted.partition("/")
    versions = sorted((store / name).glob("*/card.json"), key=lambda card: _order(card.parent.name))
    folders = [card.parent for card in versions if not version or card.parent.name == version]
    if not folders:
        there = sorted(
            f"{card.parent.parent.name}/{card.parent.name}" for card in store.glob("*/*/card.json")
        )
        raise ModelError(f"model: no {wanted!r} in {store}; there: {', '.join(there) or 'none'}")
    return folders[-1]


def _order(version: str) -> tuple[int, str]:
    return (int(version), "") if version.isdecimal() else (-1, version)


def _read_card(folder: Path, file: str) -> tuple[str, str]:
    """Give the card's text and the sha256 that it states for `file`."""
    path = folder / "card.json"
    text = path.read_text()
    try:
        stated = json.loads(text)["files"][file]
        expected = stated["sha256"] if isinstance(stated, dict) else stated
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: states no sha256 for {file}: export the model again") from error
    return text, str(expected)
