"""Bounds the points of normalised strokes, in time linear in the points.

Ramer-Douglas-Peucker keeps fewer points for the same tolerance, but takes quadratic time where ink is
made for it and a loop a point in Python. Drawing is cheap enough not to need the fewest.
"""

from __future__ import annotations

import numpy as np

from inkstream_server.ink.columns import Points, Starts, selected

#: Pixels that a dropped point may lie from the line that is kept.
TOLERANCE = 0.2
#: Up to so many points drawing all is cheaper than thinning them first.
FEW_POINTS = 96
#: Points kept of a glyph: at one in 0.4 px the pen has then covered the box three times over.
MOST_POINTS = 1024


def thinned(points: Points, starts: Starts) -> tuple[Points, Starts]:
    """Keep the first and last point of each stroke and one about every 2 TOLERANCE of its length.

    A point that goes lies between kept ones less than 2 TOLERANCE apart along the line, so it is within
    TOLERANCE of one of them. Where more than MOST_POINTS would be left the steps grow.

    Args:
        points: float64 of shape (n, 2), pixels, at most MOST_POINTS / 4 strokes.
        starts: where strokes begin.
    """
    steps = np.hypot(*np.diff(points, axis=0, prepend=points[:1]).T)
    first = np.array(starts)
    steps[first] = 0.0
    travelled = np.cumsum(steps)
    step = max(2 * TOLERANCE, float(travelled[-1]) / (MOST_POINTS - 2 * len(starts)))
    cell = (travelled / step).astype(np.int64)
    keep = np.empty(len(points), np.bool_)
    keep[0] = True
    np.not_equal(cell[1:], cell[:-1], out=keep[1:])
    keep[first] = True
    keep[np.append(first[1:], len(points)) - 1] = True
    return selected(points, starts, keep)
