"""Ink in memory: strokes as columns, with what is known about the writing."""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inkstream.ink._errors import InvalidInk

Column = NDArray[np.float64]
YDirection = Literal["up", "down"]
"""The direction in which y grows: "down" as on screens, "up" as on many tablets."""
Units = Literal["px", "mm", "count"]
"""The unit of coordinates: a pixel, a millimetre, or a device's count of unknown size."""
_NOT_NUMBERS = (TypeError, ValueError, OverflowError)
"""What numpy raises for values that are not numbers of an array."""


@dataclass(frozen=True, slots=True, eq=False)
class Stroke:
    """The points from pen-down to pen-up, as columns of one length.

    A column may be any sequence of numbers; it becomes a read-only float64 copy of shape (n,).

    Attributes:
        x: to the right, in the units of the ink.
        y: up or down, see `Ink.y`.
        t_ms: milliseconds on any clock, None if unknown.
        pressure: 0 to 1 of the device's range, or as the source gave it if the range is unknown; None
            without pressure.

    Raises:
        InvalidInk: columns differ in length, or a value is not a finite number.
    """

    x: Column
    y: Column
    t_ms: Column | None = None
    pressure: Column | None = None

    def __post_init__(self) -> None:
        """Copy and check the columns."""
        for name in ("x", "y", "t_ms", "pressure"):
            column = getattr(self, name)
            if column is not None:
                object.__setattr__(self, name, _column(name, column))
                length = len(getattr(self, name))
                if length != len(self.x):
                    raise InvalidInk(f"{name}: expected {len(self.x)} values as x, got {length}")

    @classmethod
    def of(cls, points: ArrayLike) -> Stroke:
        """Make a stroke of points as the methods of pens take them.

        Args:
            points: array-like of shape (n, 2): x, y; a third column is t_ms, a fourth the pressure.

        Raises:
            InvalidInk: it is no such array, or a value is not a finite number.
        """
        return cls(*table_of(points).T)

    @property
    def points(self) -> Column:
        """X and y as float64 of shape (n, 2)."""
        return np.stack([self.x, self.y], axis=1)

    def __len__(self) -> int:
        """The number of points."""
        return len(self.x)

    def __eq__(self, other: object) -> bool:
        """Strokes are equal if their columns are."""
        if not isinstance(other, Stroke):
            return NotImplemented
        return all(
            (a is None) == (b is None) and (a is None or b is None or np.array_equal(a, b))
            for a, b in zip(self._columns(), other._columns(), strict=True)
        )

    def __hash__(self) -> int:
        """Agree with equality."""
        # -0.0 equals 0.0 but has other bytes.
        return hash(tuple((c + 0.0).tobytes() for c in self._columns() if c is not None))

    def _columns(self) -> tuple[Column | None, ...]:
        return self.x, self.y, self.t_ms, self.pressure


@dataclass(frozen=True, slots=True)
class Ink:
    """One piece of writing: a digit, a word, or whatever the source treats as one.

    Attributes:
        strokes: in the order of writing; each a `Stroke`, or points as `Stroke.of` takes them.
        y: the direction in which y grows.
        units: the unit of coordinates.
        per_mm: counts per millimetre in x and y, None if unknown; they differ on some tablets.
        points_per_second: sampling rate of the device, None if unknown or uneven.
        label: what is written, None if unknown.
        writer: who wrote it, as the source names the writer; None if unknown.
        contributor: the site that collected it. Two sites may use the same writer name, so
            (contributor, writer) identifies a writer.
        index: the source's number for it, None without one.
        extra: other fields of a row of JSON Lines; other formats lose them.
    """

    strokes: tuple[Stroke, ...]
    y: YDirection = "down"
    units: Units = "count"
    per_mm: tuple[float, float] | None = None
    points_per_second: float | None = None
    label: str | None = None
    writer: str | None = None
    contributor: str | None = None
    index: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Make strokes of points, and check the rest.

        Raises:
            InvalidInk: a stroke cannot be made of its points, or `y`, `units`, `per_mm` or
                `points_per_second` is not one of its values.
        """
        object.__setattr__(self, "strokes", _strokes_of(self.strokes))
        if self.y not in ("up", "down"):
            raise InvalidInk(f'y: expected "up" or "down", got {self.y!r}')
        if self.units not in ("px", "mm", "count"):
            raise InvalidInk(f'units: expected "px", "mm" or "count", got {self.units!r}')
        if self.per_mm is not None and not all(0 < n < 1e9 for n in self.per_mm):
            raise InvalidInk(f"per_mm: expected two numbers from 0 to 1e9, got {self.per_mm!r}")
        if self.points_per_second is not None and not 0 < self.points_per_second < 1e9:
            raise InvalidInk(f"points_per_second: expected above 0, got {self.points_per_second!r}")

    def arrays(self) -> list[Column]:
        """Give the strokes as points, with x and y in one and the same unit.

        Returns: a float64 array of shape (n, 2) per stroke. If a tablet counts x and y differently, y is
            converted to counts of x; y keeps its direction.
        """
        stretch = 1.0 if self.per_mm is None else self.per_mm[0] / self.per_mm[1]
        if stretch == 1.0:
            return [stroke.points for stroke in self.strokes]
        return [stroke.points * (1.0, stretch) for stroke in self.strokes]

    def with_y(self, direction: YDirection) -> Ink:
        """Give the same ink with y growing in `direction`."""
        if direction == self.y:
            return self
        strokes = tuple(dataclasses.replace(stroke, y=-stroke.y) for stroke in self.strokes)
        return dataclasses.replace(self, strokes=strokes, y=direction)


def table_of(points: ArrayLike) -> Column:
    """Check points that come together.

    Args:
        points: array-like of shape (n, 2): x, y; a third column is t in ms, a fourth the pressure.

    Returns: float64 of the same shape, not checked for NaN and infinity.

    Raises:
        InvalidInk: it is no such array.
    """
    try:
        table = np.asarray(points, np.float64)
    except _NOT_NUMBERS as error:
        raise InvalidInk(_first_wrong(points) or f"points: expected numbers ({error})") from None
    if table.ndim != 2 or not 2 <= table.shape[1] <= 4:
        raise InvalidInk(f"points: expected shape (n, 2), (n, 3) or (n, 4), got {table.shape}")
    return table


def _first_wrong(points: object) -> str:
    """Say which point is not made of numbers, or of as many as the first; "" if none is found."""
    shape: tuple[int, ...] | None = None
    for place, point in enumerate(points if isinstance(points, Sequence) else ()):
        try:
            found = np.asarray(point, np.float64).shape
        except _NOT_NUMBERS:
            return f"point {place}: expected finite numbers, got {reprlib.repr(point)}"
        if found != (shape := shape or found):
            return f"point {place}: expected as many numbers as point 0, got {reprlib.repr(point)}"
    return ""


def _strokes_of(strokes: Iterable[Stroke | ArrayLike]) -> tuple[Stroke, ...]:
    if not isinstance(strokes, Iterable):
        raise InvalidInk(f"strokes: expected a sequence of strokes, got {reprlib.repr(strokes)}")
    made: list[Stroke] = []
    for place, stroke in enumerate(strokes):
        try:
            made.append(stroke if isinstance(stroke, Stroke) else Stroke.of(stroke))
        except InvalidInk as error:
            raise InvalidInk(f"strokes[{place}]: {error.reason}") from None
    return tuple(made)


def _column(name: str, values: Sequence[float] | Column) -> Column:
    try:
        column = np.array(values, np.float64)
    except _NOT_NUMBERS as error:
        raise InvalidInk(f"{name}: expected numbers ({error})") from None
    if column.ndim != 1:
        raise InvalidInk(f"{name}: expected one column of numbers, got shape {column.shape}")
    finite = np.isfinite(column)
    if not finite.all():
        point = int(np.argmin(finite))
        raise InvalidInk(f"{name}: expected finite numbers, got {column[point]} at point {point}")
    column.flags.writeable = False
    return column
