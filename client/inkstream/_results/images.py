"""What comes back for an image. A message's columns are converted once, its rows when looked at."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from inkstream.v1 import model_pb2, tensor_pb2


class RejectReason(enum.Enum):
    """Why a recognised digit should not be taken for granted. Prints as words, for example "not a digit"."""

    NO_INK = 1
    """There is no ink."""
    NOT_A_DIGIT = 2
    """There is ink, but it does not look like a digit."""
    UNSURE = 3
    """It looks like several digits: the confidence lies below the model's threshold."""

    def __str__(self) -> str:
        return _in_words(self.name)


class ImageWarning(enum.Enum):
    """Doubts about how an image was prepared. Prints as words, for example "off centre"."""

    INVERTED = 1
    """Dark ink on light ground: ink should be high."""
    OFF_CENTRE = 2
    """The centre of mass lies far from the centre of the frame."""
    TOO_THIN = 3
    """The strokes are much thinner than the model has seen."""
    SCALE = 4
    """The digit is much smaller or larger than the model has seen."""

    def __str__(self) -> str:
        return _in_words(self.name)


def _in_words(name: str) -> str:
    return name.lower().replace("_", " ")


class Answers:
    """The columns of one `TensorResults`, shared by its rows."""

    __slots__ = (
        "confidences",
        "digits",
        "inferred_us",
        "model",
        "probabilities",
        "queued_us",
        "reject_reasons",
        "top_confidences",
        "top_digits",
        "warnings",
    )

    def __init__(self, columns: tensor_pb2.TensorResults) -> None:
        # Slicing a repeated field converts it in C; empty columns cost next to nothing.
        self.digits: list[int] = columns.digits[:]
        self.confidences: list[float] = columns.confidences[:]
        self.top_digits: list[int] = columns.top_digits[:]
        self.top_confidences: list[float] = columns.top_confidences[:]
        self.probabilities: list[float] = columns.probabilities[:]
        self.queued_us: list[int] = columns.queued_us[:]
        self.inferred_us: list[int] = columns.inferred_us[:]
        self.reject_reasons: list[Any] = columns.reject_reasons[:]
        self.warnings: list[int] = columns.warnings[:]
        self.model: str = columns.model_version

    def rows(self, start: int, stop: int) -> list[Result]:
        """The rows from `start` up to `stop` as results."""
        digits, confidences = self.digits, self.confidences
        return [Result(digits[row], confidences[row], self, row) for row in range(start, stop)]


class Result:
    """The answer to one image. Treat it as frozen; it is made for every image, so it is light.

    Two are equal if they say the same of their images, times included where they were asked for.

    Attributes:
        digit: the most probable digit, 0 to 9; given even when rejected.
        confidence: calibrated probability of that digit, 0 to 1.
    """

    __slots__ = ("_answers", "_row", "confidence", "digit")

    def __init__(self, digit: int, confidence: float, answers: Answers, row: int) -> None:
        self.digit = digit
        self.confidence = confidence
        self._answers = answers
        self._row = row

    @property
    def alternatives(self) -> tuple[tuple[int, float], ...]:
        """The `top_k` best digits with their probabilities, the first included; () unless asked."""
        answers = self._answers
        k = len(answers.top_digits) // len(answers.digits)
        rows = slice(self._row * k, self._row * k + k)
        return tuple(zip(answers.top_digits[rows], answers.top_confidences[rows], strict=True))

    @property
    def probabilities(self) -> npt.NDArray[np.float32] | None:
        """Probabilities of the digits 0 to 9, float32 of shape (10,); None unless asked for."""
        row = self._answers.probabilities[self._row * 10 : self._row * 10 + 10]
        return np.array(row, np.float32) if row else None

    @property
    def queued(self) -> float | None:
        """Seconds from arrival at the server until the engine began; None unless asked for."""
        column = self._answers.queued_us
        return column[self._row] / 1e6 if column else None

    @property
    def inferred(self) -> float | None:
        """Seconds that the engine took for the whole batch; None unless timings are asked for."""
        column = self._answers.inferred_us
        return column[self._row] / 1e6 if column else None

    @property
    def reason(self) -> RejectReason | None:
        """Why the digit should not be trusted; None when it can be, or for a reason yet unknown."""
        number = self._reject_number
        return RejectReason(number) if number in _REJECT_REASONS else None

    @property
    def rejected(self) -> bool:
        """Whether the digit should not be trusted."""
        return self._reject_number != 0

    @property
    def warnings(self) -> tuple[ImageWarning, ...]:
        """Doubts about the image."""
        column = self._answers.warnings
        mask = column[self._row] if column else 0
        return tuple(doubt for doubt in ImageWarning if mask >> doubt.value & 1)

    @property
    def model(self) -> str:
        """Name and version of the model that answered, for example "digits/1"."""
        return self._answers.model

    @property
    def _reject_number(self) -> int:
        column = self._answers.reject_reasons
        return int(column[self._row]) if column else 0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Result):
            return NotImplemented
        return self._said() == other._said()

    def __hash__(self) -> int:
        return hash((self.digit, self.confidence, self.model))

    def __repr__(self) -> str:
        doubt = f", reason={self.reason.name}" if self.reason else ", rejected=True"
        shown = doubt if self.rejected else ""
        if self.warnings:
            shown += f", warnings=({', '.join(warning.name for warning in self.warnings)})"
        return f"Result(digit={self.digit}, confidence={self.confidence:.4f}{shown})"

    def _said(self) -> tuple[object, ...]:
        """All that it says, as values that compare."""
        answers, row = self._answers, self._row
        return (
            self.digit,
            self.confidence,
            self.alternatives,
            answers.probabilities[row * 10 : row * 10 + 10],
            self.queued,
            self.inferred,
            self._reject_number,
            self.warnings,
            self.model,
        )


_REJECT_REASONS = frozenset(reason.value for reason in RejectReason)


@dataclass(frozen=True, slots=True)
class Model:
    """A model as a server describes it."""

    name: str
    """Name, for example "digits"."""
    version: str
    """Version, for example "1"."""
    engine: str
    """What computes it, for example "litert"."""
    sha256: str
    """SHA-256 of the file that the engine runs, in hexadecimal."""
    card_json: str = field(repr=False)
    """The model's card as JSON: architecture, data, seeds, accuracy, calibration; may be empty. `repr` leaves
    it out, as it fills pages."""

    @classmethod
    def from_wire(cls, model: model_pb2.Model) -> Model:
        """From the contract's message."""
        return cls(model.name, model.version, model.engine, model.sha256, model.card_json)
