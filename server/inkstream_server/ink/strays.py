"""Tells stray specks (taps, a resting palm, ink of a worn nib) from strokes of the digit.

One stray tap beside a digit makes its box larger: accuracy would fall by 15 points (docs/ink.md).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inkstream_server.ink.columns import Points, Starts, selected

#: A stroke is a speck below this share of the longest stroke's extent; hardly any digit has such a stroke.
SPECK = 0.05
#: A speck is stray if it is farther from all other ink than this share of the longest stroke's extent.
GAP = 0.08
#: Strokes of a glyph that are used; digits have at most 5 (UNIPEN).
MOST_STROKES = 64
#: Points of a stroke that distances are measured to.
_SAMPLES = 64


def without(
    points: Points, starts: Starts, extents: NDArray[np.float64]
) -> tuple[Points, Starts, NDArray[np.bool_]]:
    """Drop stray specks, and the shortest of more than MOST_STROKES strokes.

    A speck that touches other ink stays: some drivers split a stroke into pieces. A glyph of dots only is
    not changed.

    Args:
        points: float64 of shape (n, 2), any unit.
        starts: where strokes begin.
        extents: longest side of each stroke's box, float64 of shape (strokes,).

    Returns: points and starts of the strokes that are kept, and which those are, bool of shape (strokes,).
    """
    kept = np.ones(len(starts), np.bool_)
    if len(starts) > MOST_STROKES:
        kept[np.argsort(-extents, kind="stable")[MOST_STROKES:]] = False
    largest = float(extents.max())
    specks = kept & (extents < SPECK * largest)
    if specks.any():
        kept &= ~_isolated(points, starts, specks, kept, GAP * largest)
    if kept.all():
        return points, starts, kept
    counts = np.diff((*starts, len(points)))
    return *selected(points, starts, np.repeat(kept, counts)), kept


def _isolated(
    points: Points,
    starts: Starts,
    specks: NDArray[np.bool_],
    kept: NDArray[np.bool_],
    gap: float,
) -> NDArray[np.bool_]:
    """Find specks that no chain of ink with gaps up to `gap` joins to a stroke, bool of shape (strokes,)."""
    ends = (*starts[1:], len(points))
    ink = [(start, stop) for start, stop in zip(starts, ends, strict=True)]
    joined = [index for index in range(len(starts)) if kept[index] and not specks[index]]
    loose = {index for index in range(len(starts)) if specks[index]}
    while joined and loose:
        stroke = _sampled(points, *ink[joined.pop()])
        near = {index for index in loose if _distance(points[ink[index][0]], stroke) <= gap}
        loose -= near
        joined += near
    isolated = np.zeros(len(starts), np.bool_)
    isolated[list(loose)] = True
    return isolated


def _sampled(points: Points, start: int, stop: int) -> Points:
    """Give at most _SAMPLES points of a stroke, evenly spaced by index, with both ends."""
    if stop - start <= _SAMPLES:
        return points[start:stop]
    return points[np.linspace(start, stop - 1, _SAMPLES).astype(np.intp)]


def _distance(point: Points, stroke: Points) -> float:
    """Give the distance from a point of shape (2,) to a polyline of shape (n, 2)."""
    start, step = stroke[:-1], np.diff(stroke, axis=0)
    if not len(start):
        return float(np.hypot(*(stroke[0] - point)))
    squared = np.maximum((step**2).sum(axis=1), np.finfo(np.float64).tiny)
    along = np.clip(((point - start) * step).sum(axis=1) / squared, 0.0, 1.0)
    return float(np.hypot(*(start + along[:, None] * step - point).T).min())
