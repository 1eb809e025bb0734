"""A stroke as it grows, and the glyph that strokes make. Leaves every rule to `segmentation` and `pen`."""

from array import array
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inkstream_server.ink.strays import SPECK

Ink = tuple[NDArray[np.float64], ...]
"""Strokes, each float64 of shape (n, 2): x and y in the pen's counts."""


Columns = tuple[list[int], list[int], list[int], list[int]]
"""Points as in the contract's `Points`: dx, dy, dt_ms and pressure. dx and dy are differences to the point
before, in counts, those of a stroke's first point to (0, 0). dt_ms may be empty; so may pressure, which is
checked and not used."""


class Extent(NamedTuple):
    """The upright box around ink, in the pen's counts."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def size(self) -> float:
        """The longest side."""
        return max(self.right - self.left, self.bottom - self.top)


class Stroke:
    """Points between a pen-down and a pen-up.

    Keeps them as differences, as they came: most are not needed as points before the pen lifts.
    """

    __slots__ = ("_dx", "_dy", "_extent", "_points", "began", "began_ms", "ends_ms", "number")

    def __init__(self, number: int, began: float, time_ms: int) -> None:
        """Begin.

        Args:
            number: the caller's number.
            began: when the pen touched, in seconds on the server's clock.
            time_ms: the same in milliseconds on the caller's clock; 0 where unknown.
        """
        self.number = number
        self.began = began
        self.began_ms = self.ends_ms = time_ms
        """Time of the last point on the caller's clock; 0 where unknown."""
        self._dx = array("i")
        self._dy = array("i")
        self._points: NDArray[np.float64] | None = None
        self._extent: Extent | None = None

    def __len__(self) -> int:
        return len(self._dx)

    @property
    def first(self) -> tuple[int, int]:
        """The first point, in counts. There must be one."""
        return self._dx[0], self._dy[0]

    @property
    def extent(self) -> Extent:
        """The box around its points, in counts. There must be a point. Cached until points are added."""
        if self._extent is None:
            points = self.points()
            self._extent = Extent(*points.min(axis=0).tolist(), *points.max(axis=0).tolist())
        return self._extent

    def add(self, points: Columns) -> None:
        """Append points that `require_points` has checked."""
        dx, dy, dt_ms, _ = points
        self._dx.fromlist(dx)
        self._dy.fromlist(dy)
        if not dt_ms:
            self.ends_ms = 0
        elif self.ends_ms:
            self.ends_ms += sum(dt_ms)
        self._points = self._extent = None

    def lasted(self, now: float) -> float:
        """Seconds since it began, on the caller's clock where that is known: packets may be held up."""
        return (self.ends_ms - self.began_ms) / 1000 if self.ends_ms else now - self.began

    def points(self) -> NDArray[np.float64]:
        """Give the points so far, float64 of shape (n, 2), in counts. Cached until points are added."""
        if self._points is None:
            self._points = np.array((self._dx, self._dy), np.float64).cumsum(axis=1).T
        return self._points


@dataclass(slots=True, eq=False)
class Glyph:
    """Strokes that make one digit, until its final answer is asked for."""

    number: int
    """Its number within the pen, from 1."""
    began: float
    """When its first stroke began, in seconds on the server's clock."""
    box: int | None = None
    """The number of the box that its first ink belongs to, 0 for none; None without ink."""
    strokes: dict[int, Stroke] = field(default_factory=dict)
    """By the caller's numbers, in the order of writing."""
    edition: int = 0
    """Grows by 1 with every change of its ink."""
    revision: int = 0
    """Answers that have left. `GlyphReply` counts them."""
    digit: int | None = None
    """The digit that this edition looks like; None where unknown or unsure."""
    inked: float = 0.0
    """When its ink last changed, in seconds on the server's clock."""

    def changed(self, now: float) -> None:
        """Begin a new edition: the ink has changed."""
        self.edition += 1
        self.digit = None
        self.inked = now

    @property
    def extent(self) -> Extent | None:
        """The box around its ink without specks; None where there is no ink."""
        extents = [stroke.extent for stroke in self.strokes.values() if len(stroke)]
        if not extents:
            return None
        least = SPECK * max(extent.size for extent in extents)
        extents = [extent for extent in extents if extent.size >= least]
        lefts, tops, rights, bottoms = zip(*extents, strict=True)
        return Extent(min(lefts), min(tops), max(rights), max(bottoms))

    @property
    def points(self) -> int:
        """Points of all its strokes."""
        return sum(map(len, self.strokes.values()))

    def ink(self) -> Ink:
        """Give its points as they are now, stroke by stroke, without empty strokes."""
        return tuple(stroke.points() for stroke in self.strokes.values() if len(stroke))
