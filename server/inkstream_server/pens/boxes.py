"""The boxes of a pen, as on a form, and which of them a stroke belongs to."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

OVERSHOOT: Final = 0.25
"""A stroke that begins outside of a box, but within this share of its shorter side, belongs to the box:
writers begin above the line. Farther away a stroke belongs to no box."""


class Box(NamedTuple):
    """A place for one digit, in counts."""

    number: int
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Boxes:
    """The places of a pen, each for one digit. Takes 36 bytes a box."""

    numbers: "array[int]" = field(default_factory=lambda: array("I"))
    """The caller's numbers."""
    sides: "array[float]" = field(default_factory=lambda: array("d"))
    """All lefts, then all tops, rights and bottoms, in counts."""

    @staticmethod
    def of(boxes: Iterable[Box]) -> "Boxes":
        """Keep boxes in their order."""
        numbers, *sides = zip(*boxes, strict=True)
        return Boxes(array("I", numbers), array("d", [place for side in sides for place in side]))

    def at(self, x: float, y: float, current: int | None = None) -> int:
        """Give the number of the box that a stroke beginning at (x, y) belongs to; 0 for none.

        Args:
            x: in counts.
            y: in counts.
            current: the number of the open glyph's box, preferred among boxes that the stroke hardly misses.
        """
        if not self.numbers:
            return 0
        left, top, right, bottom = np.frombuffer(self.sides).reshape(4, -1)
        across = np.maximum(left - x, x - right).clip(min=0.0)
        along = np.maximum(top - y, y - bottom).clip(min=0.0)
        distance = np.hypot(across, along)
        nearest = int(distance.argmin())
        if not distance[nearest]:
            return self.numbers[nearest]
        near = distance <= OVERSHOOT * np.minimum(right - left, bottom - top)
        if not near.any():
            return 0
        numbers = np.frombuffer(self.numbers, np.uint32)
        if current and (numbers[near] == current).any():
            return current
        return int(numbers[near & (distance == distance[near].min())].min())
