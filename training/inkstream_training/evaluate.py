"""Measures a card's figures again from the model's files and the test data, and lists those that differ."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from inkstream import mnist
from inkstream_server.model_store.store import BUNDLED, find

from inkstream_training import letters as letter_images
from inkstream_training.architecture import predict
from inkstream_training.card import Card, Parity, StrokesCard, mean_and_sd
from inkstream_training.export import (
    KERAS_FILE,
    LITERT_FILE,
    MAX_DIFFERENCE,
    STROKES_KERAS_FILE,
    STROKES_LITERT_FILE,
    compare,
    describe_files,
    infer_litert,
    infer_strokes,
    load_keras,
)
from inkstream_training.finish import letter_figures
from inkstream_training.ink import collection, gates
from inkstream_training.ink.figures import InkFigures, NoDigits, flat, measure_ink
from inkstream_training.metrics import confusion, measure
from inkstream_training.produce import CARD_FILE
from inkstream_training.readers import answers_to, image_reader, reader_of, strokes_reader
from inkstream_training.strokes.architecture import outputs

__all__ = ["DEFAULT_MODEL", "Evaluation", "Figure", "Answers", "evaluate"]

DEFAULT_MODEL = find(BUNDLED, "digits")
"""The model that the server serves by default."""

_FLOAT_TOLERANCE = 1e-4
_COVERAGE_TOLERANCE = 2e-3


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of the card beside the same figure measured now."""

    name: str
    """Place in the card, for example `metrics.accuracy`."""

    stated: Any
    """Value in the card."""

    measured: Any
    """Value measured now."""

    tolerance: float = 0.0
    """Largest difference that counts as equal: 0 for counts and digests, more for figures that another
    processor's rounding may change."""

    @property
    def agrees(self) -> bool:
        """Whether the two values are equal, within the tolerance."""
        if isinstance(self.stated, float) and isinstance(self.measured, float):
            return math.isclose(self.stated, self.measured, rel_tol=0.0, abs_tol=self.tolerance)
        return bool(self.stated == self.measured)


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """A test set with the model's answers."""

    name: str
    """"MNIST" or "pen"."""

    images: npt.NDArray[np.uint8]
    """uint8 (n, 28, 28)."""

    labels: npt.NDArray[Any]
    """Integer (n,)."""

    probabilities: npt.NDArray[np.float32]
    """Float32 (n, 10)."""

    writers: npt.NDArray[np.str_] | None
    """Writer of each image, such as "unipen aga/x"; None if unknown."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Result of `evaluate`."""

    card: Card
    """The card that was checked."""

    figures: tuple[Figure, ...]
    """All figures that can be measured again, in the card's order."""

    confusion: npt.NDArray[np.int64]
    """Counts (10, 10) on the test images: rows are written digits, columns answers."""

    answers: tuple[Answers, ...]
    """Answers to every test image: MNIST first, then pen digits if the model has ink."""

    @property
    def agrees(self) -> bool:
        """Whether every figure agrees with the card."""
        return all(figure.agrees for figure in self.figures)

    def to_json(self) -> dict[str, Any]:
        """Give the result as plain JSON values."""
        return {
            "name": self.card.name,
            "version": self.card.version,
            "agrees": self.agrees,
            "figures": [
                {
                    "name": figure.name,
                    "card": _plain(figure.stated),
                    "measured": _plain(figure.measured),
                    "agrees": figure.agrees,
                }
                for figure in self.figures
            ],
            "confusion": self.confusion.tolist(),
        }


def _plain(value: Any) -> Any:
    """Turn a figure into JSON values; splits are dataclasses by collection."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def evaluate(
    model: Path = DEFAULT_MODEL, mnist_folder: Path | None = None, ink_folder: Path | None = None
) -> Evaluation:
    """Measure all files of a model on MNIST's 10,000 test images and held-out writers' ink.

    The figures are those of the `.tflite` files, run by the engine that serves them; the `.keras` files are
    run by Keras for the parity. Takes a few seconds on one core, and half a minute more if the model has ink.

    Args:
        model: folder of the files of a version.
        mnist_folder: see `inkstream.mnist.load`.
        ink_folder: see `inkstream_training.ink.sources.load`; unused without ink.

    Raises:
        CardError: the card is missing or cannot be read.
        FileNotFoundError: a model file is missing.
        DatasetUnavailable: MNIST is missing, or pen ink for a model that has figures on it.
    """
    card = Card.read(model / CARD_FILE)
    images, labels = mnist.load("test", mnist_folder)
    reference = load_keras(model / KERAS_FILE)
    served = infer_litert(model / LITERT_FILE, images)
    answers = [Answers("MNIST", images, labels, served, None)]
    figures = [
        *_files(card, model),
        Figure("parameters", card.parameters, int(reference.count_params())),
        *_metrics(card, served, labels),
        *_parity("parity", card.parity, compare(predict(reference, images), served)),
        *_seeds(card),
    ]
    if card.ink is not None and card.reject is not None:
        ink, splits = collection.test_set(ink_folder)
        found = answers_to(ink, reader_of(model, card))
        measured = measure_ink(found, ink, (served, labels), card.reject)
        names = np.char.add(np.char.add(ink.sources, " "), ink.writers)
        answers.append(Answers("pen", ink.digits.frames, ink.labels, found.digits, names))
        figures += [Figure("splits", card.splits, splits), *_ink("ink", card.ink, measured)]
        if card.strokes is not None:
            readers = image_reader(model, card), strokes_reader(model)
            image, strokes = (
                measure_ink(answers_to(ink, read), ink, (served, labels), card.reject)
                for read in readers
            )
            figures += [
                *_ink("strokes.image_alone", card.strokes.image_alone, image),
                *_ink("strokes.strokes_alone", card.strokes.strokes_alone, strokes),
                *_strokes_files(card.strokes, model, ink.digits.traces),
            ]
        if card.letters is not None:
            images_of = letter_images.load(ink_folder).test
            infer = partial(infer_litert, model / LITERT_FILE)
            letters = letter_figures(infer, images_of, served, card.reject)
            figures += _letters(card.letters, letters)
            figures += _gates(card, gates.values(card.metrics, measured, letters["no_digits"]))
    return Evaluation(card, tuple(figures), confusion(served, labels), tuple(answers))


def _strokes_files(
    stated: StrokesCard, model: Path, traces: npt.NDArray[np.float32]
) -> list[Figure]:
    """Compare the two files of the network for strokes with each other."""
    reference = load_keras(model / STROKES_KERAS_FILE)
    compiled = infer_strokes(model / STROKES_LITERT_FILE, traces)
    found = compare(outputs(reference, traces), compiled)
    parameters = int(reference.count_params())
    return [
        Figure("strokes.parameters", stated.parameters, parameters),
        *_parity("strokes.parity", stated.parity, found),
    ]


def _files(card: Card, model: Path) -> list[Figure]:
    figures = []
    for name, found in describe_files(model).items():
        stated = card.files.get(name)
        digest = stated.sha256 if stated else "not in the card"
        figures.append(Figure(f"files.{name}.sha256", digest, found.sha256))
    return figures


def _metrics(card: Card, served: npt.NDArray[Any], labels: npt.NDArray[Any]) -> list[Figure]:
    stated, found = card.metrics, measure(served, labels)
    return [
        Figure("metrics.examples", stated.examples, found.examples),
        Figure("metrics.errors", stated.errors, found.errors),
        Figure("metrics.accuracy", stated.accuracy, found.accuracy),
        Figure("metrics.nll", stated.nll, found.nll, _FLOAT_TOLERANCE),
        Figure("metrics.ece", stated.ece, found.ece, _FLOAT_TOLERANCE),
        *_each("metrics.coverage", stated.coverage, found.coverage, _COVERAGE_TOLERANCE),
        *_each("metrics.per_digit", stated.per_digit, found.per_digit, 0.0),
    ]


def _each(
    name: str, stated: dict[str, float], found: dict[str, float], tolerance: float
) -> list[Figure]:
    keys = found | stated
    return [Figure(f"{name}.{k}", stated.get(k), found.get(k), tolerance) for k in keys]


def _parity(name: str, stated: Parity, found: Parity) -> list[Figure]:
    return [
        Figure(f"{name}.same_answers", stated.same_answers, found.same_answers),
        Figure(
            f"{name}.max_difference", stated.max_difference, found.max_difference, MAX_DIFFERENCE
        ),
    ]


def _seeds(card: Card) -> list[Figure]:
    """Compare what can be computed from the card; runs that are not served have no files."""
    mean, spread = mean_and_sd([one.test_accuracy for one in card.seeds])
    served = next((one for one in card.seeds if one.seed == card.seed), None)
    return [
        Figure("test_accuracy_mean", card.test_accuracy_mean, mean, 1e-6),
        Figure("test_accuracy_sd", card.test_accuracy_sd, spread, 1e-6),
        Figure(
            f"seeds[{card.seed}].test_accuracy",
            served.test_accuracy if served else None,
            card.metrics.accuracy,
        ),
        Figure(
            f"seeds[{card.seed}].temperature",
            served.temperature if served else None,
            card.temperature,
        ),
        Figure(
            f"seeds[{card.seed}].ink_temperature",
            served.ink_temperature if served else None,
            card.ink_temperature,
        ),
    ]


def _ink(name: str, stated: InkFigures, found: InkFigures) -> list[Figure]:
    rows, measured = flat(stated), flat(found)
    return [
        Figure(f"{name}.{figure}", rows.get(figure), measured.get(figure), _tolerance(figure))
        for figure in measured | rows
    ]


def _letters(stated: dict[str, NoDigits], found: dict[str, NoDigits]) -> list[Figure]:
    figures = []
    for kind, one in found.items():
        told = asdict(stated[kind]) if kind in stated else {}
        figures += [
            Figure(f"letters.{kind}.{name}", told.get(name), value, _COVERAGE_TOLERANCE)
            for name, value in asdict(one).items()
        ]
    return figures


def _tolerance(name: str) -> float:
    if ".coverage." in name:
        return _COVERAGE_TOLERANCE
    # The last bit of a probability can move an answer across a threshold.
    divided = ("half_ink", "no_digits", "look_alikes", "mnist_answered", "pen_answered")
    if name.startswith(divided):
        return _COVERAGE_TOLERANCE
    return _FLOAT_TOLERANCE if name.endswith((".nll", ".ece")) else 0.0


def _gates(card: Card, served: dict[str, float]) -> list[Figure]:
    """Compare the served seed's measured figures, and the means over all seeds in the card."""
    own = next((one.gates for one in card.seeds if one.seed == card.seed), None) or {}
    results = gates.check([one.gates for one in card.seeds if one.gates is not None] or [served])
    figures = [
        Figure(f"seeds[{card.seed}].gates.{name}", own.get(name), value, _COVERAGE_TOLERANCE)
        for name, value in served.items()
    ]
    for name, result in results.items():
        stated = (card.gates or {}).get(name)
        figures.append(Figure(f"gates.{name}.mean", stated and stated.mean, result.mean, 1e-6))
        figures.append(Figure(f"gates.{name}.holds", stated and stated.holds, result.holds))
    return figures
