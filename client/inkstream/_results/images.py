"""Results of images. Converts the columns of a message at once, its rows when they are read."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from inkstream.v1 import model_pb2, tensor_pb2


class RejectReason(enum.Enum):
    """Why a result is rejected. Prints as words, for example "not a digit"."""

    NO_INK = 1
    """There is no ink."""
    NOT_A_DIGIT = 2
    """There is ink, but it does not look like a digit."""
    UNSURE = 3
    """It looks like several digits: the confidence is below the model's threshold."""

    def __str__(self) -> str:
        return self.name.lower().replace("_", " ")


class ImageWarning(enum.Enum):
    """What may be wrong with an image. Prints as words, for example "off centre"."""

    INVERTED = 1
    """The ink is dark on light background; its values should be the high ones."""
    OFF_CENTRE = 2
    """The centre of mass is far from the centre of the frame."""
    TOO_THIN = 3
    """The strokes are much thinner than those that the model learned from."""
    SCALE = 4
    """The digit is much smaller or larger than those that the model learned from."""

    def __str__(self) -> str:
        return self.name.lower().replace("_", " ")


REASONS = {reason.value: reason for reason in RejectReason}


def warnings_of(mask: int) -> tuple[ImageWarning, ...]:
    """Give the warnings whose bits are set."""
    return tuple(warning for warning in ImageWarning if mask >> warning.value & 1) if mask else ()


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
        # Slices convert repeated fields in C.
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
    """The result of one image. Treat it as frozen: a plain class is cheaper to make than a frozen one.

    Two results are equal if all their properties are, timings included.

    Attributes:
        digit: the most probable digit, 0 to 9, even when rejected.
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
        """The `top_k` best digits with their probabilities, `digit` first; () unless asked for."""
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
        """Seconds that the engine took for the whole batch; None unless asked for."""
        column = self._answers.inferred_us
        return column[self._row] / 1e6 if column else None

    @property
    def reason(self) -> RejectReason | None:
        """Why the digit is rejected; None if it is not, or for a reason that this version does not know."""
        return REASONS.get(self._reject_number)

    @property
    def rejected(self) -> bool:
        """Whether the digit should not be trusted."""
        return self._reject_number != 0

    @property
    def warnings(self) -> tuple[ImageWarning, ...]:
        """What may be wrong with the image."""
        column = self._answers.warnings
        return warnings_of(column[self._row]) if column else ()

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
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash((self.digit, self.confidence, self.model))

    def __repr__(self) -> str:
        reason = f", reason={self.reason.name}" if self.reason else ", rejected=True"
        shown = reason if self.rejected else ""
        if self.warnings:
            shown += f", warnings=({', '.join(warning.name for warning in self.warnings)})"
        return f"Result(digit={self.digit}, confidence={self.confidence:.4f}{shown})"

    def _values(self) -> tuple[object, ...]:
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
    """The model's card as JSON: architecture, data, seeds, accuracy, calibration; may be empty. Too long for
    `repr`."""

    @classmethod
    def from_wire(cls, model: model_pb2.Model) -> Model:
        """Convert the contract's message."""
        return cls(model.name, model.version, model.engine, model.sha256, model.card_json)
