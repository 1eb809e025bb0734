"""Drops points that a drawing would not show, which bounds its cost.

Uses Ramer-Douglas-Peucker in Rust (`simplification`): it drops half of a tablet's points, and nine tenths of
a fast tablet's. Hostile ink makes it take quadratic time, so a linear step bounds the points first.
"""

from __future__ import annotations

import numpy as np
from simplification.cutil import simplify_coords

from inkstream_server.ink.columns import Points, Starts, selected

#: Pixels that a dropped point may lie from the line that stays.
TOLERANCE = 0.1
#: Points of a glyph that are used, evenly spaced. They lie 0.2 px apart even in five digits' ink, and bound
#: the time for any ink to two milliseconds.
MOST_POINTS = 512


def simplified(points: Points, starts: Starts) -> tuple[Points, ...]:
    """Give strokes with only the points that a drawing shows.

    Args:
        points: float64 of shape (n, 2), pixels, at most MOST_POINTS / 4 strokes.
        starts: where strokes begin.

    Returns: strokes, float64 of shape (n, 2), n >= 1, with their first and last points; together at most
        MOST_POINTS.
    """
    if len(points) > MOST_POINTS:
        points, starts = _spaced(points, starts)
    ends = (*starts[1:], len(points))
    return tuple(
        simplify_coords(points[start:end], TOLERANCE) if end - start > 2 else points[start:end]
        for start, end in zip(starts, ends, strict=True)
    )


def _spaced(points: Points, starts: Starts) -> tuple[Points, Starts]:
    """Keep the ends of strokes and points evenly along them, at most MOST_POINTS in all."""
    steps = np.hypot(*np.diff(points, axis=0, prepend=points[:1]).T)
    first = np.array(starts)
    steps[first] = 0.0
    travelled = np.cumsum(steps)
    # Keep the first point in each cell of equal length; where no point moves there is one cell.
    cells = MOST_POINTS - 2 * len(starts) - 1
    cell = (travelled * (cells / max(float(travelled[-1]), 1e-9))).astype(np.int64)
    keep = np.empty(len(points), np.bool_)
    keep[0] = True
    np.not_equal(cell[1:], cell[:-1], out=keep[1:])
    keep[first] = True
    keep[np.append(first[1:], len(points)) - 1] = True
    return selected(points, starts, keep)
