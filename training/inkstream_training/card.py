"""The model card: description, origin and figures of a model, as data and as JSON.

The server reads `name`, `version`, `files`, `reject` and `sample`; keys are only ever added.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inkstream_training.ink.collection import Split
from inkstream_training.ink.figures import InkFigures, NoDigits
from inkstream_training.ink.gates import GateResult
from inkstream_training.ink.rejection import RejectRule
from inkstream_training.metrics import Metrics
from inkstream_training.train import Epoch

__all__ = [
    "BASELINE",
    "Baseline",
    "Card",
    "CardError",
    "Comparison",
    "DataFile",
    "ModelFile",
    "Parity",
    "SeedResult",
    "StrokesCard",
]


class CardError(ValueError):
    """A card cannot be read; the message names the file and the key."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of examples that the model was made from."""

    file: str
    """Published name."""

    sha256: str
    """Digest of the file."""

    examples: int
    """Number of images or labels."""

    use: str
    """Its use: training, validation or test."""


@dataclass(frozen=True, slots=True)
class SeedResult:
    """One finished run of the recipe."""

    seed: int
    """The seed."""

    test_accuracy: float
    """Share of right answers on MNIST's 10,000 test images, measured once, after the run."""

    validation_accuracy: float | None
    """Share of right answers on the validation images; None without any."""

    validation_nll: float | None
    """Negative log-likelihood on them after temperature, in nats; the served seed has the lowest."""

    temperature: float
    """Temperature fitted to this run; 1 if none is fitted."""

    gates: dict[str, float] | None = None
    """Its figure for each of the card's `gates`, measured once, after the run."""

    ink_temperature: float = 1.0
    """Temperature of ink fitted to this run, relative to `temperature`; 1 if none is fitted. It is used where
    no network for strokes answers beside."""

    alone: dict[str, dict[str, float]] | None = None
    """Figures of each network alone on ink, "image" and "strokes", by the names of `gates`; None for one
    network."""

    weights: dict[str, float] | None = None
    """Exponents of both networks, "image" and "strokes"; None for one network."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """A figure from elsewhere, to compare with."""

    accuracy: float
    """Share of right answers on MNIST's test images."""

    source: str
    """Source of the figure."""


BASELINE = Baseline(0.9777, "the user's own figure for this network and the plain recipe")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Another model of the same architecture, to compare with."""

    model: str
    """Its name and version."""

    recipe: str
    """Its recipe."""

    test_accuracy_mean: float
    """Mean over its seeds of the share of right answers on MNIST's test images."""

    test_accuracy_sd: float | None
    """Sample standard deviation over them; None for one seed."""

    seeds: int
    """Number of seeds."""


@dataclass(frozen=True, slots=True)
class Parity:
    """Difference of `model.tflite` from `model.keras` on MNIST's test images."""

    same_answers: bool
    """Whether the most probable digit is the same for every image."""

    max_difference: float
    """Largest absolute difference of any probability; export rejects 1e-5 and more."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One of the model's files."""

    sha256: str
    """Digest of the file."""

    bytes: int
    """Size of the file."""


@dataclass(frozen=True, slots=True)
class StrokesCard:
    """The network for strokes. It answers ink together with the network for images.

    The answer is p_image ** image_weight * p_strokes ** strokes_weight for each digit, scaled to sum to 1;
    see `inkstream_server.confidence.product`.
    """

    image_weight: float
    """Exponent of the image network's probabilities."""

    strokes_weight: float
    """Exponent of this network's."""

    architecture: list[str]
    """Layers in order."""

    parameters: int
    """Number of weights."""

    temperature: float
    """Temperature folded into the last layer: alone, the files give calibrated probabilities."""

    parity: Parity
    """Agreement of the two files, on the traces of validation's digits."""

    history: list[Epoch]
    """Every epoch of the served run."""

    training_seconds: float
    """Wall time of the served run."""

    image_alone: InkFigures
    """Figures on ink of the network for images alone, at `ink_temperature`."""

    strokes_alone: InkFigures
    """Figures on ink of this network alone."""

    sample: dict[str, Any] | None = None
    """Answers of `strokes.keras` to the built-in sample, as in the card's own `sample`."""


@dataclass(frozen=True, slots=True)
class Card:
    """All of `card.json`; each field is a key of that name.

    A server reads when to reject from `reject`: null or absent if the model answers everything, else an
    object of `not_a_digit_below`, `unsure_below` (numbers, 0 to 1, the first not above the second)
    and `score`. If `score` is "max_probability", c is the largest of the ten probabilities of a
    tensor: c < `not_a_digit_below` is NOT_A_DIGIT; else c < `unsure_below` is UNSURE;
    else the digit is the answer. NO_INK is decided before the model runs.
    """

    name: str
    """Served name and folder."""

    version: str
    """Served version and folder below the name."""

    description: str
    """One sentence that distinguishes this model."""

    created: str
    """Date of training, ISO 8601."""

    architecture: list[str]
    """Layers in order."""

    parameters: int
    """Number of weights."""

    recipe: dict[str, Any]
    """Every hyperparameter (fields of `Recipe` and `Augmentation`)."""

    data: list[DataFile]
    """Files of examples."""

    seed: int
    """Seed of the served weights."""

    selection: str
    """Rule by which that seed was chosen."""

    temperature: float
    """Temperature folded into the last layer; the files give calibrated probabilities."""

    metrics: Metrics
    """Figures of the served files on MNIST's test images."""

    seeds: list[SeedResult]
    """All finished runs."""

    test_accuracy_mean: float
    """Mean test accuracy of the runs."""

    test_accuracy_sd: float | None
    """Sample standard deviation of the test accuracy; None for one run."""

    baseline: Baseline
    """Figure to compare with."""

    parity: Parity
    """Agreement of the two files."""

    history: list[Epoch]
    """Every epoch of the served run."""

    files: dict[str, ModelFile]
    """The model's files by name."""

    libraries: dict[str, str]
    """Versions of Python, TensorFlow, Keras and NumPy in training."""

    training_seconds: float
    """Wall time of the served run."""

    ink_temperature: float = 1.0
    """Temperature that calibrates the files' probabilities on ink: p ** (1 / ink_temperature), normalised to
    sum 1. Without `strokes`, figures on ink, and `reject`, refer to these probabilities."""

    reject: RejectRule | None = None
    """When to answer with a reason instead of a digit; None: never."""

    splits: dict[str, Split] | None = None
    """Held-out writers of each collection of pen ink; None without ink."""

    ink: InkFigures | None = None
    """Figures of the served files on the pen ink of the test writers in `splits`."""

    sample: dict[str, Any] | None = None
    """Answers of `model.keras` to the built-in sample of `inkstream_server.model_store.sample`."""

    gates: dict[str, GateResult] | None = None
    """Bounds for a model for ink, on the mean over `seeds`; None without ink."""

    strokes: StrokesCard | None = None
    """The network for strokes; None for one network. Figures on ink, and `reject`, then refer to the answers
    of both together."""

    letters: dict[str, NoDigits] | None = None
    """Images of letters against MNIST's test images: "no_digits", and "look_alikes", which resemble digits;
    None without letters."""

    same_architecture: list[Comparison] = dataclasses.field(default_factory=list)
    """The models of this architecture that came with the server when this one was made."""

    def write(self, path: Path) -> None:
        """Write as indented JSON."""
        path.write_text(json.dumps(self.to_json(), indent=2) + "\n", encoding="utf-8")

    def to_json(self) -> dict[str, Any]:
        """Give the card as plain JSON values."""
        return dataclasses.asdict(self)

    @staticmethod
    def read(path: Path) -> Card:
        """Read a card; unknown keys are ignored.

        Raises:
            CardError: the file is missing or no JSON, or a key is missing or of the wrong type.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise CardError(
                f"{path}: {error.strerror}; give the folder of a model, or train one with "
                f"`inkstream-train train`"
            ) from error
        except ValueError as error:
            raise CardError(f"{path}: expected JSON, got something else: {error}") from error
        card = _parse(Card, content, str(path))
        assert isinstance(card, Card)
        return card


def mean_and_sd(values: typing.Sequence[float]) -> tuple[float, float | None]:
    """Give mean and sample standard deviation (None for one value), rounded to 6 places."""
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return round(mean, 6), None
    spread = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return round(mean, 6), round(math.sqrt(spread), 6)


def _parse(kind: Any, value: Any, where: str) -> Any:
    """Build `kind` (a dataclass, a container of them, or a plain type) from JSON values."""
    if kind is Any:
        return value
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        if value is None:
            return None
        return _parse(arguments[0], value, where)
    if origin is list:
        _require(isinstance(value, list), where, "a list", value)
        return [_parse(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value)]
    if origin is dict:
        _require(isinstance(value, dict), where, "an object", value)
        return {key: _parse(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(kind):
        _require(isinstance(value, dict), where, "an object", value)
        hints = typing.get_type_hints(kind)
        optional = {
            f.name
            for f in dataclasses.fields(kind)
            if f.default is not dataclasses.MISSING or f.default_factory is not dataclasses.MISSING
        }
        missing = [field for field in hints if field not in value and field not in optional]
        if missing:
            raise CardError(f"{where}: expected the keys {', '.join(missing)}, which are missing")
        make: Any = kind
        given = {k: h for k, h in hints.items() if k in value}
        return make(**{k: _parse(h, value[k], f"{where}: {k}") for k, h in given.items()})
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    _require(isinstance(value, kind), where, kind.__name__, value)
    return value


def _require(holds: bool, where: str, wanted: str, value: Any) -> None:
    if not holds:
        raise CardError(f"{where}: expected {wanted}, got {value!r:.60}")
