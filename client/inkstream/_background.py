"""Tells ink from its ground in a grey picture, also where light falls on it unevenly. Knows arrays only."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_NOISE = 0.15
"""Share of the strongest ink below which a pixel is ground: paper is not even."""
_GRAIN = 6.0
"""The same in uneven light, in deviations of what is left of the ground; up to `_MOST_NOISE`."""
_MOST_NOISE = 0.4
_CONTRAST = 16
"""Grey levels, of 255, between ground and ink below which there is no ink."""
_SAMPLES = 64
"""Pixels of each row and column that the ground is fitted to."""
_ROUNDS = 20
_NEAR = 0.1
"""Share of a picture's grey levels within which a pixel is explained by a ground."""
_GAIN = 0.1
"""Share of pixels that an uneven ground has to explain beyond an even one to be believed."""
_LEAST = 0.6
"""Share of pixels that it has to explain anyway: no picture is mostly ink, but tight crops are half of it."""

_Levels = npt.NDArray[np.float64]


def level_of(grey: npt.NDArray[np.uint8]) -> float:
    """The grey level of an even ground: the middle one of the border."""
    return float(np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])))


def ink_of(grey: npt.NDArray[np.uint8], notes: list[str]) -> _Levels | None:
    """How strong the ink is in each pixel, whether darker or lighter than its ground.

    Even ground is what the border's middle level says. Where a ground that changes smoothly over the
    picture explains clearly more pixels, as in a photo of a page by a lamp, ink is measured by the light
    that falls there.

    Args:
        grey: levels of shape (height, width).
        notes: gets what was done, for people.

    Returns: 0 for ground to 1 for the strongest ink, of the same shape; None without any ink.
    """
    level = level_of(grey)
    uneven = _uneven_ground(grey)
    lighter = grey.astype(np.float64) - (level if uneven is None else uneven)
    darkest, lightest = -float(lighter.min()), float(lighter.max())
    if max(darkest, lightest) < _CONTRAST:
        return None
    is_dark = darkest > lightest
    if is_dark:
        notes.append("dark ink on light ground: inverted")
    strength = -lighter if is_dark else lighter
    if uneven is None:
        even: _Levels = np.clip(strength / strength.max(), 0, 1)
        even[even < _NOISE] = 0
        return even
    notes.append("uneven light evened out")
    room = uneven if is_dark else 255 - uneven
    strength /= np.maximum(room, _CONTRAST)
    ink: _Levels = np.clip(strength / strength.max(), 0, 1)
    # Where there is little light, ink is amplified and grain with it, unless it is smoothed.
    smooth = _blurred(ink, max(1, round(max(ink.shape) / 200)))
    grain = _GRAIN * float(smooth[smooth < 2 * _NOISE].std())
    ink[smooth < np.clip(grain, _NOISE, _MOST_NOISE)] = 0
    return ink if ink.any() else None


def _uneven_ground(grey: npt.NDArray[np.uint8]) -> _Levels | None:
    """A ground that changes smoothly over the picture; None where an even one explains as much."""
    rows, columns = (max(1, length // _SAMPLES) for length in grey.shape)
    sample = grey[::rows, ::columns].astype(np.float64)
    terms = _terms(*sample.shape)
    factors = _most_explaining(terms, sample)
    near = _NEAR * float(np.ptp(sample))
    # Not only the border's level: in a tight crop the border is ink.
    even = max(
        np.mean(np.abs(sample - each) < near) for each in np.percentile(sample, range(5, 100, 10))
    )
    if np.mean(np.abs(sample - terms @ factors) < near) <= max(even + _GAIN, _LEAST):
        return None
    ground: _Levels = np.clip(_terms(*grey.shape) @ factors, 0, 255)
    return ground


def _terms(height: int, width: int) -> _Levels:
    """What a smooth ground is the sum of, shape (height, width, 6): all up to squares."""
    y = np.linspace(-1, 1, height)[:, None] + np.zeros((1, width))
    x = np.linspace(-1, 1, width)[None, :] + np.zeros((height, 1))
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)


def _most_explaining(terms: _Levels, sample: _Levels) -> _Levels:
    """Fit by least absolute deviations, which ink does not draw to itself; the border counts more.

    Iteratively reweighted least squares, begun at the border, where ink is rare.
    """
    border = np.zeros(sample.shape, bool)
    border[[0, -1]] = border[:, [0, -1]] = True
    trust = np.where(border, 4.0, 1.0).ravel()
    weights = np.where(border, 1.0, 0.05).ravel()
    rows, levels = terms.reshape(-1, terms.shape[-1]), sample.ravel()
    factors: _Levels = np.zeros(rows.shape[1])
    for _ in range(_ROUNDS):
        weighted = rows * weights[:, None]
        # The small number lets pictures of a few pixels be solved, too.
        squares = weighted.T @ rows + 1e-9 * np.eye(rows.shape[1])
        factors = np.asarray(np.linalg.solve(squares, weighted.T @ levels), np.float64)
        weights = trust / np.maximum(np.abs(levels - rows @ factors), 1.0)
    return factors


def _blurred(levels: _Levels, radius: int) -> _Levels:
    """The mean of the square around each pixel."""
    size = 2 * radius + 1
    for axis in (0, 1):
        pad: list[Any] = [(0, 0), (0, 0)]
        pad[axis] = (radius + 1, radius)
        sums = np.cumsum(np.pad(levels, pad, mode="edge"), axis=axis)
        length = sums.shape[axis]
        upper = np.take(sums, range(size, length), axis)
        levels = (upper - np.take(sums, range(length - size), axis)) / size
    return levels
