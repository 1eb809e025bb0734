"""The boxes of a pen, as on a form, and which of them a stroke belongs to."""

from array import array
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from inkstream_server.limits.memory_book import Account
from inkstream_server.pens.memory import Held

OVERSHOOT: Final = 0.25
"""A stroke that begins outside of a box, but within this share of its shorter side, belongs to the box:
writers begin above the line. Farther away a stroke belongs to no box."""


BASE_BYTES: Final = 1000
BOX_BYTES: Final = 36
"""A number of 4 bytes and four sides of 8."""


class Box(NamedTuple):
    """A place for one digit, in counts."""

    number: int
    left: float
    top: float
    right: float
    bottom: float


class Boxes(Held):
    """The places of a pen, each for one digit. Pens that are opened alike share them."""

    __slots__ = ("_numbers", "_sides")

    def __init__(self, boxes: Sequence[Box], account: Account) -> None:
        """Keep boxes, at least one, in their order."""
        super().__init__(account, BASE_BYTES + BOX_BYTES * len(boxes))
        numbers, *sides = zip(*boxes, strict=True)
        self._numbers: array[int] = array("I", numbers)
        # All lefts, then all tops, rights and bottoms, in counts.
        self._sides: array[float] = array("d", [place for side in sides for place in side])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Boxes):
            return NotImplemented
        return self._numbers == other._numbers and self._sides == other._sides

    __hash__ = None  # type: ignore[assignment]  # As dataclasses do for what has a value.

    def at(self, x: float, y: float, current: int | None = None) -> int:
        """Give the number of the box that a stroke beginning at (x, y) belongs to; 0 for none.

        Args:
            x: in counts.
            y: in counts.
            current: the number of the open glyph's box, preferred among boxes that the stroke hardly misses.
        """
        left, top, right, bottom = np.frombuffer(self._sides).reshape(4, -1)
        across = np.maximum(left - x, x - right).clip(min=0.0)
        along = np.maximum(top - y, y - bottom).clip(min=0.0)
        distance = np.hypot(across, along)
        nearest = int(distance.argmin())
        if not distance[nearest]:
            return self._numbers[nearest]
        near = distance <= OVERSHOOT * np.minimum(right - left, bottom - top)
        if not near.any():
            return 0
        numbers = np.frombuffer(self._numbers, np.uint32)
        if current and (numbers[near] == current).any():
            return current
        return int(numbers[near & (distance == distance[near].min())].min())
