"""A stroke as it grows, and the glyph that strokes make. Data and its bookkeeping only."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

Ink = tuple[NDArray[np.float64], ...]
"""Strokes, each of shape (n, 2), x and y in the pen's counts."""


class Stroke:
    """Points between a pen-down and a pen-up."""

    __slots__ = (
        "_whole",
        "_x",
        "_y",
        "began",
        "began_ms",
        "bottom",
        "ends_ms",
        "left",
        "number",
        "right",
        "top",
    )  # fmt: skip

    def __init__(self, number: int, began: float, time_ms: int) -> None:
        """Begin.

        Args:
            number: the caller's.
            began: on the server's clock, in seconds.
            time_ms: on the caller's; 0 where unknown.
        """
        self.number = number
        self.began = began
        self.began_ms = self.ends_ms = time_ms
        """Time of the last point on the caller's clock; 0 where unknown."""
        self.left = self.top = float("inf")
        self.right = self.bottom = float("-inf")
        self._x = array("d")
        self._y = array("d")
        self._whole: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self._x)

    @property
    def first(self) -> tuple[float, float]:
        """The first point; there must be one."""
        return self._x[0], self._y[0]

    @property
    def extent(self) -> float:
        """Longest side of its box; 0 without points."""
        return max(self.right - self.left, self.bottom - self.top, 0.0)

    def add(self, dx: Sequence[int], dy: Sequence[int], dt_ms: Sequence[int]) -> None:
        """Append points, each given as the difference to the one before; columns of equal length."""
        x = [*accumulate(dx, initial=int(self._x[-1]) if self._x else 0)][1:]
        y = [*accumulate(dy, initial=int(self._y[-1]) if self._y else 0)][1:]
        self._x.extend(x)
        self._y.extend(y)
        self.left, self.right = min(self.left, *x), max(self.right, *x)
        self.top, self.bottom = min(self.top, *y), max(self.bottom, *y)
        if not dt_ms:
            self.ends_ms = 0
        elif self.ends_ms:
            self.ends_ms += sum(dt_ms)
        self._whole = None

    def points(self) -> NDArray[np.float64]:
        """Give the points so far, float64 of shape (n, 2). Made anew only when some were added."""
        if self._whole is None:
            self._whole = np.array((self._x, self._y)).T
        return self._whole


@dataclass(slots=True, eq=False)
class Glyph:
    """Strokes that are taken for one digit, until it has its final answer."""

    number: int
    """Its number within the pen, from 1."""
    began: float
    """When its first stroke began, on the server's clock, in seconds."""
    box: int = 0
    strokes: dict[int, Stroke] = field(default_factory=dict)
    """By the caller's numbers, in the order of writing."""
    edition: int = 0
    """Rises with every change of its ink."""
    revision: int = 0
    """Answers that have left. Kept by `glyph_answer`."""
    digit: int | None = None
    """What this edition is taken for; None where unknown or unsure."""
    inked: float = 0.0
    """When its ink last changed, on the server's clock, in seconds."""

    def changed(self, now: float) -> None:
        """Note that the ink is no longer what it was."""
        self.edition += 1
        self.digit = None
        self.inked = now

    @property
    def right(self) -> float:
        """Greatest x of its ink; minus infinity where there is none."""
        return max((stroke.right for stroke in self.strokes.values()), default=float("-inf"))

    @property
    def size(self) -> float:
        """Longest side of the box of its ink; 0 where there is none."""
        inked = [stroke for stroke in self.strokes.values() if len(stroke)]
        if not inked:
            return 0.0
        return max(
            max(it.right for it in inked) - min(it.left for it in inked),
            max(it.bottom for it in inked) - min(it.top for it in inked),
        )

    def ink(self) -> Ink:
        """Give its points as they stand, stroke by stroke."""
        return tuple(stroke.points() for stroke in self.strokes.values() if len(stroke))
