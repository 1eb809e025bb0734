"""Separates ink from its background in a grey picture, in uneven light too. Knows arrays only."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_NOISE = 0.15
"""Share of the strongest ink below which a pixel is background, as paper is not even."""
_GRAIN = 6.0
"""Replaces `_NOISE` in uneven light: standard deviations of the residual background, up to `_MOST_NOISE`."""
_MOST_NOISE = 0.4
_CONTRAST = 16
"""Difference between background and ink, of 255 levels, below which there is no ink."""
_SAMPLES = 64
"""Pixels of each row and column to which the background is fitted."""
_ROUNDS = 20
_NEAR = 0.1
"""A background explains a pixel if they differ by less than this share of the picture's range of levels."""
_GAIN = 0.1
"""Share of pixels that an uneven background must explain beyond an even one."""
_LEAST = 0.6
"""Share of pixels that it must explain in any case: tight crops are half ink, no picture is mostly ink."""

_Levels = npt.NDArray[np.float64]


def level_of(grey: npt.NDArray[np.uint8]) -> float:
    """Give the grey level of an even background: the median of the border."""
    return float(np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])))


def ink_of(grey: npt.NDArray[np.uint8], notes: list[str]) -> _Levels | None:
    """Measure how strong the ink is in each pixel, darker or lighter than its background.

    Takes the background for even, at the median level of the border, unless one that changes smoothly
    explains clearly more pixels, as in a photo of a page by a lamp. Then ink counts relative to the light
    at its place.

    Args:
        grey: levels of shape (height, width).
        notes: gets a phrase for people for each step taken.

    Returns: 0 for background to 1 for the strongest ink, of the same shape; None without any ink.
    """
    level = level_of(grey)
    uneven = _uneven_background(grey)
    lighter = grey.astype(np.float64) - (level if uneven is None else uneven)
    darkest, lightest = -float(lighter.min()), float(lighter.max())
    if max(darkest, lightest) < _CONTRAST:
        return None
    is_dark = darkest > lightest
    if is_dark:
        notes.append("dark ink on light background: inverted")
    strength = -lighter if is_dark else lighter
    if uneven is None:
        even: _Levels = np.clip(strength / strength.max(), 0, 1)
        even[even < _NOISE] = 0
        return even
    notes.append("uneven light evened out")
    room = uneven if is_dark else 255 - uneven
    strength /= np.maximum(room, _CONTRAST)
    ink: _Levels = np.clip(strength / strength.max(), 0, 1)
    # The division amplifies grain where there is little light; smoothing tells it from ink.
    smooth = _blurred(ink, max(1, round(max(ink.shape) / 200)))
    grain = _GRAIN * float(smooth[smooth < 2 * _NOISE].std())
    ink[smooth < np.clip(grain, _NOISE, _MOST_NOISE)] = 0
    return ink if ink.any() else None


def _uneven_background(grey: npt.NDArray[np.uint8]) -> _Levels | None:
    """Fit a background that changes smoothly; None if an even one explains as much."""
    rows, columns = (max(1, length // _SAMPLES) for length in grey.shape)
    sample = grey[::rows, ::columns].astype(np.float64)
    terms = _terms(*sample.shape)
    factors = _most_explaining(terms, sample)
    near = _NEAR * float(np.ptp(sample))
    # Tries other levels than that of the border, which is ink in a tight crop.
    even = max(
        np.mean(np.abs(sample - each) < near) for each in np.percentile(sample, range(5, 100, 10))
    )
    if np.mean(np.abs(sample - terms @ factors) < near) <= max(even + _GAIN, _LEAST):
        return None
    background: _Levels = np.clip(_terms(*grey.shape) @ factors, 0, 255)
    return background


def _terms(height: int, width: int) -> _Levels:
    """Give the terms of a smooth background, up to squares, in shape (height, width, 6)."""
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)


def _most_explaining(terms: _Levels, sample: _Levels) -> _Levels:
    """Fit by least absolute deviations, which ink hardly affects, with more weight on the border.

    Iteratively reweighted least squares, starting at the border, where ink is rare.
    """
    border = np.zeros(sample.shape, bool)
    border[[0, -1]] = border[:, [0, -1]] = True
    trust = np.where(border, 4.0, 1.0).ravel()
    weights = np.where(border, 1.0, 0.05).ravel()
    rows, levels = terms.reshape(-1, terms.shape[-1]), sample.ravel()
    factors: _Levels = np.zeros(rows.shape[1])
    for _ in range(_ROUNDS):
        weighted = rows * weights[:, None]
        # The small number makes the equations of a few pixels solvable.
        squares = weighted.T @ rows + 1e-9 * np.eye(rows.shape[1])
        factors = np.asarray(np.linalg.solve(squares, weighted.T @ levels), np.float64)
        weights = trust / np.maximum(np.abs(levels - rows @ factors), 1.0)
    return factors


def _blurred(levels: _Levels, radius: int) -> _Levels:
    """Give the mean of the square around each pixel."""
    size = 2 * radius + 1
    for axis in (0, 1):
        pad: list[Any] = [(0, 0), (0, 0)]
        pad[axis] = (radius + 1, radius)
        sums = np.cumsum(np.pad(levels, pad, mode="edge"), axis=axis)
        length = sums.shape[axis]
        upper = np.take(sums, range(size, length), axis)
        levels = (upper - np.take(sums, range(length - size), axis)) / size
    return levels
