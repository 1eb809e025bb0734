"""Distorts the strokes of a glyph at random, as another hand on another tablet might write it.

Pure functions of strokes and a random generator. `augment.py` distorts images; this module does what an
image does not allow: strokes move against each other, ends fall short, coordinates are coarse, pens are
thick or thin, and strokes are drawn backwards or in another order.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from inkstream_training.ink.negatives import Strokes
from inkstream_training.recipes import StrokeDistortion

__all__ = ["distort", "pen_width"]

_WAVES = 4
"""Number of plane waves whose sum is the smooth displacement."""


def distort(
    strokes: Strokes, amounts: StrokeDistortion, rng: np.random.Generator
) -> list[npt.NDArray[np.float64]]:
    """Distort a glyph. Takes about 40 microseconds.

    Args:
        strokes: at least one, each (n, 2) and not empty.
        amounts: strength of the distortion.
        rng: random generator.

    Returns: as many strokes, in units of the glyph's longest side, relative to the centre of its box. A
        stroke may lose points at one end, but never all of them.
    """
    ends = np.cumsum([len(stroke) for stroke in strokes])
    points = np.concatenate(strokes).astype(np.float64)
    low, high = points.min(axis=0), points.max(axis=0)
    extent = float((high - low).max()) or 1.0
    points = (points - (low + high) / 2) / extent
    uniform = rng.uniform(-1.0, 1.0, 3 + _WAVES)
    normal = rng.standard_normal((2 * _WAVES + len(strokes), 2))
    moved = points @ _affine(uniform, amounts)
    waves = np.sin(points @ (amounts.bend * normal[:_WAVES].T) + np.pi * uniform[3:])
    moved += waves @ (normal[_WAVES : 2 * _WAVES] * (amounts.elastic * np.sqrt(2 / _WAVES)))
    if len(strokes) > 1:
        shifts = amounts.stroke_shift * normal[2 * _WAVES :]
        moved += np.repeat(shifts, np.diff(ends, prepend=0), axis=0)
    if rng.random() < amounts.coarse_chance:
        steps = rng.uniform(*amounts.coarse_steps)
        moved = np.round(moved * steps) / steps
    written = np.split(moved, ends[:-1])
    if rng.random() < amounts.short_chance:
        written = _shortened(written, amounts.short_share * rng.random(), rng)
    if rng.random() < amounts.reversed_chance:
        written = [stroke[::-1] if rng.random() < 0.5 else stroke for stroke in written]
    if len(written) > 1 and rng.random() < amounts.shuffled_chance:
        written = [written[index] for index in rng.permutation(len(written))]
    return written


def pen_width(amounts: StrokeDistortion, rng: np.random.Generator) -> float:
    """Draw a pen's width in pixels."""
    return float(rng.uniform(*amounts.pen_widths))


def _affine(uniform: npt.NDArray[np.float64], amounts: StrokeDistortion) -> npt.NDArray[np.float64]:
    """Give the matrix (2, 2) for rows of x and y: slant, then aspect, then rotation."""
    angle = np.deg2rad(amounts.rotation_deg) * uniform[0]
    stretch = np.exp(amounts.log_aspect * uniform[1])
    cos, sin = np.cos(angle), np.sin(angle)
    slanted = np.array([[stretch, 0.0], [amounts.slant * uniform[2], 1.0 / stretch]])
    return np.asarray(slanted @ np.array([[cos, sin], [-sin, cos]]))


def _shortened(
    written: list[npt.NDArray[np.float64]], share: float, rng: np.random.Generator
) -> list[npt.NDArray[np.float64]]:
    """Remove some points at one end of one stroke."""
    at = int(rng.integers(len(written)))
    stroke = written[at]
    gone = int(share * len(stroke))
    kept = stroke[gone:] if rng.random() < 0.5 else stroke[: len(stroke) - gone]
    return [*written[:at], kept, *written[at + 1 :]]
