"""Brings strokes of any device, size and place into the 20-px box of MNIST's digits.

Drops what is no part of the digit (`strays`) and what cannot be seen (`simplify`). Leaves drawing, and the
centre of mass, to `rasterize`. docs/ink.md says where the rules come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inkstream_server.ink import columns, strays
from inkstream_server.ink.columns import Points, Starts
from inkstream_server.ink.simplify import TOLERANCE, simplified

#: Pixels of the longest side of the drawn digit, pen included.
BOX = 20.0
#: Pixels of a pen's width.
PEN_WIDTH = 2.4
#: No device measures coordinates beyond this; they are dropped like NaN.
_FARTHEST = 1e30
#: A glyph smaller than this in every direction is a dot, whatever the unit.
_SMALLEST = 1e-12


@dataclass(frozen=True, slots=True)
class Normalized:
    """Strokes in the 20-px box, ready to be drawn.

    Attributes:
        strokes: each float64 of shape (n, 2), n >= 1, pixels, x right, y down; at least one.
        size: width and height of the box of all points, in pixels; the box begins at (0, 0). The longer side
            is 20 less the pen's width, or 0 for a dot.
        width: pen width in pixels; the box leaves room for it.
    """

    strokes: tuple[Points, ...]
    size: tuple[float, float]
    width: float

    @property
    def is_dot(self) -> bool:
        """Whether the ink has no extent: a point, or a tap."""
        return not any(self.size)


def normalize(
    strokes: Sequence[NDArray[np.floating | np.integer]],
    *,
    y_up: bool,
    width: float = PEN_WIDTH,
    tap: float = 0.0,
) -> Normalized | None:
    """Bring one glyph's strokes into MNIST's box.

    Drops points that are not finite, and stray specks beside the digit. Strokes stay apart: nothing is drawn
    between a pen-up and a pen-down elsewhere. Gives at most `simplify.MOST_POINTS` points in
    `strays.MOST_STROKES` strokes.

    Args:
        strokes: each of shape (n, 2), x and y in any one unit, in any order of strokes; n may be 0.
        y_up: whether y grows upwards in them.
        width: pen width in pixels of the 28x28 frame; the box leaves room for it.
        tap: longest side of a mere tap, in the unit of `strokes`: the whole glyph becomes a dot instead of
            a digit of full size. 0 where unknown; see `tap_size`.

    Returns: the strokes in the box, or None where no finite point is left. About 15 microseconds for a
        digit of 40 points; linear in the points. May be called from any thread.

    Raises:
        ValueError: a stroke is not of shape (n, 2), or the pen is as wide as the box.
    """
    if not 0 < width < BOX:
        raise ValueError(f"width: expected between 0 and {BOX:g} pixels, got {width}")
    points, starts = columns.of_strokes(strokes)
    if not starts:
        return None
    low, high = _boxes(points, starts)
    # Comparisons with NaN are false.
    if not (low.min() > -_FARTHEST and high.max() < _FARTHEST):
        x, y = np.abs(points).T
        points, starts = columns.selected(points, starts, (x < _FARTHEST) & (y < _FARTHEST))
        if not starts:
            return None
        low, high = _boxes(points, starts)
    if len(starts) > 1:
        points, starts, kept = strays.without(points, starts, (high - low).max(axis=1))
        low, high = low[kept].min(axis=0, keepdims=True), high[kept].max(axis=0, keepdims=True)
    (left, lower), (right, upper) = low[0].tolist(), high[0].tolist()
    extent = max(right - left, upper - lower)
    if extent <= max(tap, _SMALLEST):
        return Normalized((np.zeros((1, 2)),), (0.0, 0.0), width)
    scale = (BOX - width) / extent
    # In place: the array is this function's own.
    points -= (left, upper if y_up else lower)
    points *= (scale, -scale if y_up else scale)
    if len(starts) > 1:
        starts = columns.joined(points, starts, TOLERANCE)
    size = ((right - left) * scale, (upper - lower) * scale)
    return Normalized(simplified(points, starts), size, width)


def _boxes(points: Points, starts: Starts) -> tuple[Points, Points]:
    """The least and greatest x and y of each stroke, float64 of shape (strokes, 2) both."""
    return np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)
