"""Turns points into the wire's columns: whole counts, each as the difference to the one before.

Pure arithmetic, one coder per stroke.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from inkstream.ink import Ink, InvalidInk

_Points: TypeAlias = npt.NDArray[np.float64]
Columns: TypeAlias = tuple[Sequence[int], Sequence[int], Sequence[int], Sequence[int]]
"""dx, dy, dt_ms and pressure; the last two are empty if the stroke has none."""

FARTHEST = (1 << 30) - 1
"""Greatest distance of a coordinate from 0, in counts: differences of two fit the wire's 32 bits."""
FULL_PRESSURE = 65535
_LONGEST_MS = (1 << 32) - 1
_LATEST_MS = 1 << 53
"""Greatest distance of a time from 0, in milliseconds: a float holds every whole number up to it."""


class StrokeCoder:
    """Codes the points of one stroke as they come."""

    def __init__(
        self,
        counts_per_unit: float,
        t: float | None,
        *,
        has_pressure: bool,
        shift_ms: int | None = None,
    ) -> None:
        """Begin a stroke.

        Args:
            counts_per_unit: counts of the wire per unit of the caller.
            t: its beginning in milliseconds; None if its points have no times.
            has_pressure: whether its points have a pressure.
            shift_ms: the `shift_ms` of the pen's earlier strokes; None for the first with times.

        Raises:
            InvalidInk: `t` is not a finite number, or too far from 0.
        """
        self._counts = counts_per_unit
        self._x = self._y = 0
        self.has_time = t is not None
        self.has_pressure = has_pressure
        began = 0 if t is None else _whole_ms(t)
        self.shift_ms = max(0, 1 - began) if shift_ms is None else shift_ms
        """Added to the caller's times: on the wire 0 means an unknown time, and no time is below."""
        self._t = self.time_ms = 0 if t is None else max(1, began + self.shift_ms)
        """Its beginning in whole milliseconds; 0 if its points have no times."""
        self._before = (0, 0, self._t)

    def point(self, x: float, y: float, t: float | None, pressure: float | None) -> Columns:
        """Code one point.

        Raises:
            InvalidInk: a number is not finite or too far from 0, or has t or pressure unlike the first point.
        """
        if (t is not None) != self.has_time or (pressure is not None) != self.has_pressure:
            raise self._uneven(t is not None, pressure is not None)
        try:
            across, along = round(x * self._counts), round(y * self._counts)
        except (TypeError, ValueError, OverflowError):
            raise InvalidInk(f"x, y: expected finite numbers, got {x!r}, {y!r}") from None
        if not (-FARTHEST <= across <= FARTHEST and -FARTHEST <= along <= FARTHEST):
            raise self._too_far(x, y)
        # Check the whole point before any of it counts.
        force: Sequence[int] = () if pressure is None else (_force(pressure),)
        now = self._t if t is None else _whole_ms(t) + self.shift_ms
        self._before = (self._x, self._y, self._t)
        times: Sequence[int] = ()
        if t is not None:
            times = (min(max(0, now - self._t), _LONGEST_MS),)
            self._t = max(now, self._t)
        columns = (across - self._x,), (along - self._y,), times, force
        self._x, self._y = across, along
        return columns

    def points(self, table: _Points) -> Columns:
        """Code many points.

        Args:
            table: float64 of shape (n, 2 to 4), n at least 1: x, y, t in ms, pressure from 0 to 1.

        Raises:
            InvalidInk: as `point`; then none of them counts.
        """
        width = table.shape[1]
        if (width > 2) != self.has_time or (width > 3) != self.has_pressure:
            raise self._uneven(width > 2, width > 3)
        if not np.isfinite(table).all():
            raise InvalidInk("points: expected finite numbers, got NaN or infinity")
        with np.errstate(over="ignore"):
            counts = np.rint(table[:, :2] * self._counts)
        if not (np.abs(counts) <= FARTHEST).all():
            raise self._too_far(*np.abs(table[:, :2]).max(axis=0))
        whole = counts.astype(np.int64)
        if width > 2 and not (np.abs(table[:, 2]) <= _LATEST_MS).all():
            raise _too_late(table[np.abs(table[:, 2]).argmax(), 2])
        self._before = (self._x, self._y, self._t)
        dx, dy = np.diff(whole, axis=0, prepend=[[self._x, self._y]]).T.tolist()
        times: Sequence[int] = ()
        if width > 2:
            # A clock that steps back stands still instead.
            clock = np.rint(table[:, 2]).astype(np.int64) + self.shift_ms
            clock = np.maximum.accumulate(np.append(self._t, clock))
            times = np.minimum(np.diff(clock), _LONGEST_MS).tolist()
            self._t = int(clock[-1])
        force: Sequence[int] = ()
        if width > 3:
            levels = np.rint(np.clip(table[:, 3], 0.0, 1.0) * FULL_PRESSURE)
            force = levels.astype(np.int64).tolist()
        self._x, self._y = map(int, whole[-1])
        return dx, dy, times, force

    def take_back(self) -> None:
        """Undo the last call: its points are not sent."""
        self._x, self._y, self._t = self._before

    def _uneven(self, timed: bool, pressed: bool) -> InvalidInk:
        name = "t" if timed != self.has_time else "pressure"
        had = self.has_time if name == "t" else self.has_pressure
        return InvalidInk(
            f"{name}: expected it for all points of a stroke or for none; "
            f"this stroke began {'with' if had else 'without'} it"
        )

    def _too_far(self, x: float, y: float) -> InvalidInk:
        return InvalidInk(
            f"x, y: expected at most {FARTHEST / self._counts:g} units from 0, got {x:g}, {y:g}; "
            "move the origin nearer, or choose fewer counts_per_unit"
        )


def scale_for(strokes: Sequence[_Points]) -> tuple[float, _Points]:
    """Choose counts so fine that rounding never shows in a digit's picture.

    Large enough whole numbers stay as they are; other ink gets at least 4,096 counts on its longest side.

    Args:
        strokes: each float64 of shape (n, 2), finite.

    Returns: counts per unit, a power of 2, so that scaling rounds nothing; and the point to subtract first.
    """
    zero = np.zeros(2)
    points = np.concatenate([np.empty((0, 2)), *strokes])
    if not len(points):
        return 1.0, zero
    low, high = points.min(axis=0), points.max(axis=0)
    # Halved before they are subtracted: the difference of two floats may be too large for a float.
    half = float((high / 2 - low / 2).max())
    if half >= 4 and np.abs(points).max() <= FARTHEST / 4 and (points == np.rint(points)).all():
        return 1.0, zero
    if not half > 0:
        return 1.0, low
    counts = math.ldexp(1.0, min(12 - math.frexp(half)[1], 1000))
    return counts, zero if np.abs(points).max() * counts <= FARTHEST / 4 else low


@dataclass(frozen=True, slots=True)
class Fitted:
    """A whole ink, and the pen that would write it without loss."""

    units: Literal["px", "mm"] | None
    """The unit of the strokes; None if it is unknown, or the wire has no name for it."""
    counts_per_unit: float
    """Counts of the wire per unit."""
    strokes: list[_Points]
    """Each of shape (n, 2), in units, y as the ink has it."""


def fit(ink: Ink) -> Fitted:
    """Choose the pen for an ink, see `scale_for`. If the unit is known, so is the size of a single dot.

    Raises:
        InvalidInk: it is no `Ink`.
    """
    if not isinstance(ink, Ink):
        raise InvalidInk(f"ink: expected an Ink, got {type(ink).__name__}; Ink(strokes) makes one")
    counts, origin = scale_for(ink.arrays())
    strokes = [stroke - origin for stroke in ink.arrays()]
    if ink.units != "count" and 1e-9 <= counts <= 1e9:
        return Fitted(ink.units, counts, strokes)
    return Fitted(None, 1.0, [stroke * counts for stroke in strokes])


def _whole_ms(t: float) -> int:
    try:
        whole = round(t)
    except (TypeError, ValueError, OverflowError):
        raise InvalidInk(f"t: expected a finite number, got {t!r}") from None
    if not -_LATEST_MS <= whole <= _LATEST_MS:
        raise _too_late(t)
    return whole


def _too_late(t: float) -> InvalidInk:
    return InvalidInk(
        f"t: expected milliseconds at most {float(_LATEST_MS):g} from 0, got {t}; "
        "begin the clock nearer, or count in milliseconds"
    )


def _force(pressure: float) -> int:
    try:
        return round(min(max(pressure, 0.0), 1.0) * FULL_PRESSURE)
    except (TypeError, ValueError):
        raise InvalidInk(f"pressure: expected a number from 0 to 1, got {pressure!r}") from None
