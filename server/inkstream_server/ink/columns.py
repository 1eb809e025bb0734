"""Strokes as one array of points and the indices where strokes begin, so that one NumPy call does for all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

#: float64 of shape (n, 2): x and y.
Points = NDArray[np.float64]
#: Index of each stroke's first point, rising from 0; no stroke is empty.
Starts = tuple[int, ...]


def of_strokes(strokes: Sequence[NDArray[np.floating | np.integer]]) -> tuple[Points, Starts]:
    """Put strokes into one array.

    Args:
        strokes: each of shape (n, 2); empty ones are left out.

    Returns: points, float64 of shape (n, 2), and starts; () where there is no point.

    Raises:
        ValueError: a stroke is not of shape (n, 2).
    """
    starts: list[int] = []
    count = 0
    for stroke in strokes:
        if stroke.ndim != 2 or stroke.shape[1] != 2:
            raise ValueError(f"strokes: expected shape (n, 2), got {stroke.shape}")
        if len(stroke):
            starts.append(count)
            count += len(stroke)
    if not starts:
        return np.empty((0, 2)), ()
    return np.concatenate(strokes, dtype=np.float64), tuple(starts)


def selected(points: Points, starts: Starts, keep: NDArray[np.bool_]) -> tuple[Points, Starts]:
    """Keep some points, by a mask of shape (n,); strokes without points vanish."""
    counts = np.add.reduceat(keep, starts, dtype=np.intp)
    counts = counts[counts > 0]
    return points[keep], tuple((np.cumsum(counts) - counts).tolist())


def joined(points: Points, starts: Starts, gap: float) -> Starts:
    """Join strokes that begin within `gap` of the end of the stroke before; give the starts that are left.

    Some drivers split a stroke in two. Drawn apart, its two round ends would be darker at their rims than
    one line.
    """
    later = np.array(starts[1:])
    distances = np.hypot(*(points[later] - points[later - 1]).T)
    return (0, *later[distances > gap].tolist())
