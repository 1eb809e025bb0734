"""A stroke as it grows, and the glyph that strokes make. Leaves every rule to `segmentation` and `pen`."""

from array import array
from collections.abc import Iterable
from itertools import accumulate
from math import inf
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from inkstream_server.ink.strays import SPECK
from inkstream_server.limits.memory_book import Account
from inkstream_server.pens.memory import Held

Ink = tuple[NDArray[np.float64], ...]
"""Strokes, each float64 of shape (n, 2): x and y in the pen's counts."""


Columns = tuple[list[int], list[int], list[int], list[int]]
"""Points as in the contract's `Points`: dx, dy, dt_ms and pressure. dx and dy are differences to the point
before, in counts, those of a stroke's first point to (0, 0). dt_ms may be empty; so may pressure, which is
checked and not used."""

_MANY = 64
"""Steps from which on NumPy is faster than Python's own sums."""


STROKE_BYTES: Final = 700
"""A stroke without points, with its place in a glyph."""
POINT_BYTES: Final = 10
"""Two differences of 4 bytes, and what arrays reserve."""
GLYPH_BYTES: Final = 1900
"""An open glyph without strokes, with its pen's timer and the last answer to it."""
OVER_BYTES: Final = 200
"""A glyph whose ink was let go."""
_COUNTED_AT_ONCE: Final = 32
"""Points are counted by so many, since most packets bring only a few."""


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


_NOWHERE: Final = Extent(inf, inf, -inf, -inf)
"""Around no ink."""


class Stroke(Held):
    """Points between a pen-down and a pen-up.

    Keeps them as differences, as they came, 8 bytes a point: they are needed as points only to be drawn.
    """

    __slots__ = (
        *("_counted", "_dx", "_dy", "_extent", "_seen", "_size", "_x", "_y"),
        *("began", "began_ms", "ends_ms", "number"),
    )

    def __init__(self, number: int, began: float, time_ms: int, account: Account) -> None:
        """Begin.

        Args:
            number: the caller's number.
            began: when the pen touched, in seconds on the server's clock.
            time_ms: the same in milliseconds on the caller's clock; 0 where unknown.
            account: counts what it holds.
        """
        super().__init__(account, STROKE_BYTES)
        self.number = number
        self.began = began
        self.began_ms = self.ends_ms = time_ms
        """Time of the last point on the caller's clock; 0 where unknown."""
        self._dx = array("i")
        self._dy = array("i")
        # Points that are counted as bytes so far.
        self._counted = 0
        # The extent of the first points, how many those are, and where the last of them lies.
        self._extent, self._size = _NOWHERE, -inf
        self._seen = self._x = self._y = 0

    def __len__(self) -> int:
        return len(self._dx)

    @property
    def first(self) -> tuple[int, int]:
        """The first point, in counts. There must be one."""
        return self._dx[0], self._dy[0]

    @property
    def extent(self) -> Extent:
        """The box around its points, in counts; its sides are infinite where there is no point.

        Looks only at the points that were added since it was asked for.
        """
        if self._seen < len(self._dx):
            self._look()
        return self._extent

    @property
    def size(self) -> float:
        """The longest side of its extent; -inf where there is no point. Takes as long as that."""
        if self._seen < len(self._dx):
            self._look()
        return self._size

    def growth(self, points: int) -> int:
        """Give the bytes that it will hold besides if so many points are added."""
        points += len(self._dx)
        if points <= self._counted:
            return 0
        return POINT_BYTES * (_counted_as(points) - self._counted)

    def add(self, points: Columns) -> None:
        """Append points that `require_points` has checked."""
        dx, dy, dt_ms, _ = points
        self._dx.fromlist(dx)
        self._dy.fromlist(dy)
        if len(self._dx) > self._counted:
            self._counted = _counted_as(len(self._dx))
            self._resize(STROKE_BYTES + POINT_BYTES * self._counted)
        if not dt_ms:
            self.ends_ms = 0
        elif self.ends_ms:
            self.ends_ms += sum(dt_ms)

    def lasted(self, now: float) -> float:
        """Seconds since it began, on the caller's clock where that is known: packets may be held up."""
        return (self.ends_ms - self.began_ms) / 1000 if self.ends_ms else now - self.began

    def _look(self) -> None:
        """Enlarge the extent by the points that were added since the last look, at least one."""
        left, top, right, bottom = self._extent
        least_x, most_x, self._x = _span(self._x, self._dx, self._seen)
        least_y, most_y, self._y = _span(self._y, self._dy, self._seen)
        self._seen = len(self._dx)
        if least_x < left or least_y < top or most_x > right or most_y > bottom:
            extent = self._extent = Extent(
                min(left, least_x), min(top, least_y), max(right, most_x), max(bottom, most_y)
            )
            self._size = extent.size


def _counted_as(points: int) -> int:
    """Give the number of points that so many are counted as."""
    return -(-points // _COUNTED_AT_ONCE) * _COUNTED_AT_ONCE


def _span(last: int, steps: "array[int]", first: int) -> tuple[int, int, int]:
    """Give the least and the greatest place that some steps lead to, and the last one.

    Args:
        last: where they begin, which does not count.
        steps: differences between places.
        first: index of the first step that counts.
    """
    if len(steps) - first < _MANY:
        places = [*accumulate(steps[first:], initial=last)]
        places[0] = last = places.pop()
        return min(places), max(places), last
    moved = np.frombuffer(steps, np.int32)[first:].cumsum(dtype=np.int64)
    return last + int(moved.min()), last + int(moved.max()), last + int(moved[-1])


class Sketch(NamedTuple):
    """A glyph's ink as it was at one time. Copies nothing: strokes only grow, and only the last one does."""

    strokes: tuple[Stroke, ...]
    """In the order of writing; some may be without points."""
    last_points: int
    """Points that the last stroke had then."""

    def ink(self) -> Ink:
        """Give its points, stroke by stroke, without empty strokes, in some 20 microseconds."""
        counts = [len(stroke) for stroke in self.strokes]
        if not counts:
            return ()
        end = sum(counts) - counts[-1] + self.last_points
        counts[-1] = self.last_points
        ends = [*accumulate(counts)]
        points = np.empty((end, 2))
        for axis, columns in enumerate(
            ([stroke._dx for stroke in self.strokes], [stroke._dy for stroke in self.strokes])
        ):
            sums = np.frombuffer(b"".join(columns), np.int32)[:end].cumsum(dtype=np.int64)
            # Each stroke begins anew.
            before = [0, *(int(sums[stop - 1]) if stop else 0 for stop in ends[:-1])]
            points[:, axis] = sums - np.repeat(before, counts)
        return tuple(
            points[stop - count : stop] for count, stop in zip(counts, ends, strict=True) if count
        )


class Glyph(Held):
    """Strokes that make one digit, until its final answer is asked for."""

    __slots__ = (
        *("_extent", "began", "box", "digit", "edition", "inked"),
        *("number", "points", "revision", "strokes"),
    )

    def __init__(self, number: int, began: float, account: Account) -> None:
        """Start without strokes.

        Args:
            number: its number within the pen, from 1.
            began: when its first stroke began, in seconds on the server's clock.
            account: counts what it holds.
        """
        super().__init__(account, GLYPH_BYTES)
        self.number = number
        self.began = began
        self.box: int | None = None
        """The number of the box that its first ink belongs to, 0 for none; None without ink."""
        self.strokes: dict[int, Stroke] = {}
        """By the caller's numbers, in the order of writing. Only the last one may still grow."""
        self.points = 0
        """Points of all its strokes."""
        self.edition = 0
        """Grows by 1 with every change of its ink."""
        self.revision = 0
        """Answers that have left. `GlyphReply` counts them."""
        self.digit: int | None = None
        """The digit that this edition looks like; None where unknown or unsure."""
        self.inked = 0.0
        """When its ink last changed, in seconds on the server's clock."""
        # The extent of this edition; None where it is not known.
        self._extent: Extent | None = None

    def changed(self, now: float) -> None:
        """Begin a new edition: the ink has changed."""
        self.edition += 1
        self.digit = self._extent = None
        self.inked = now

    @property
    def extent(self) -> Extent | None:
        """The box around its ink without specks; None where there is no ink. Found once an edition."""
        if self._extent is None:
            self._extent = extent_around(self.strokes.values())
        return self._extent

    def join(self, stroke: Stroke) -> None:
        """Take a stroke in."""
        self.strokes[stroke.number] = stroke
        self.points += len(stroke)

    def grow(self, stroke: Stroke, points: Columns) -> None:
        """Add points to a stroke of its own, the last one."""
        stroke.add(points)
        self.points += len(points[0])

    def drop(self, number: int) -> Stroke:
        """Give a stroke away."""
        stroke = self.strokes.pop(number)
        self.points -= len(stroke)
        return stroke

    def let_go(self) -> None:
        """Let go of its strokes: it is over, and only answers that wait refer to it."""
        self.strokes = {}
        self.points = 0
        self._resize(OVER_BYTES)

    def sketch(self) -> Sketch:
        """Keep its ink as it is now."""
        strokes = tuple(self.strokes.values())
        return Sketch(strokes, len(strokes[-1]) if strokes else 0)


def extent_around(strokes: Iterable[Stroke]) -> Extent | None:
    """Find the box around strokes without specks; None where there is no ink."""
    inked = [stroke for stroke in strokes if stroke.size >= 0]
    if not inked:
        return None
    least = SPECK * max([stroke.size for stroke in inked])
    lefts, tops, rights, bottoms = zip(
        *[stroke.extent for stroke in inked if stroke.size >= least], strict=True
    )
    return Extent(min(lefts), min(tops), max(rights), max(bottoms))
