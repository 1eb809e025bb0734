"""Makes and selects ink of no digit: digits cut short or run together, scribbles, letters and symbols.

Pure functions of strokes and a random generator. A network that never saw such ink is sure of it: at half
of the ink 55 % of digits got a confidence above 0.99.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "LOOK_ALIKES",
    "PREFIX_SHARES",
    "Strokes",
    "ink_length",
    "merged",
    "prefix",
    "prefix_share",
    "scribble",
]

Strokes = Sequence[npt.NDArray[Any]]
"""Strokes in writing order, each (n, 2)."""

LOOK_ALIKES: dict[str, tuple[str, ...]] = {
    "0": ("O", "o", "D", "Q"),
    # UNIPEN writes a backslash as two.
    "1": ("I", "l", "i", "|", "/", "\\\\", "\\", "!", "'", "`", ","),
    "2": ("Z", "z"),
    "5": ("S", "s"),
    "6": ("b",),
    "8": ("B",),
    "9": ("q", "g"),
}
"""Letters and symbols that look like a digit without their size and place, by that digit.

They are neither taught as "not a digit", which would teach the network to reject digits, nor counted as
mistakes."""

PREFIX_SHARES = (0.1, 0.6)
"""Smallest and largest share of the ink in a digit cut short."""


def ink_length(strokes: Strokes) -> float:
    """Compute the length of the ink, in the unit of the strokes."""
    return float(sum(_steps(stroke).sum() for stroke in strokes))


def prefix(strokes: Strokes, share: float) -> list[npt.NDArray[np.float64]]:
    """Give the first `share` of the ink by length.

    Args:
        strokes: strokes of a whole glyph.
        share: 0 to 1; the last segment is cut at this length.

    Returns: strokes, none empty; at least the first point, if there is one.
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"share: expected 0 to 1, got {share}")
    left = share * ink_length(strokes)
    drawn: list[npt.NDArray[np.float64]] = []
    for stroke in strokes:
        points = np.asarray(stroke, dtype=np.float64)
        if not len(points):
            continue
        steps = _steps(points)
        travelled = np.append(0.0, np.cumsum(steps))
        if travelled[-1] < left or share == 1.0:
            drawn.append(points)
            left -= float(travelled[-1])
            continue
        whole = int(np.searchsorted(travelled, left, side="right"))
        drawn.append(points[:whole])
        if whole < len(points) and left > travelled[whole - 1]:
            along = (left - travelled[whole - 1]) / steps[whole - 1]
            end = points[whole - 1] + along * (points[whole] - points[whole - 1])
            drawn[-1] = np.concatenate([points[:whole], end[None]])
        break
    return drawn


def prefix_share(rng: np.random.Generator) -> float:
    """Draw the share of ink of a digit cut short.

    The density rises quadratically from 0 at the smallest of `PREFIX_SHARES`: ink that is nearly a digit is
    harder to reject than a dash, so it gets more examples.
    """
    least, greatest = PREFIX_SHARES
    return float(least + (greatest - least) * np.cbrt(rng.random()))


def merged(first: Strokes, second: Strokes, rng: np.random.Generator) -> list[npt.NDArray[Any]]:
    """Put two neighbouring digits together, as a wrong cut leaves them.

    Half of the time both are whole; else one is, and the other shows its near end only.

    Args:
        first: the left digit, y down, in units of its longest side.
        second: the right digit, alike.
        rng: random generator; also decides how far the digits overlap or lie apart.
    """
    right = float(max(stroke[:, 0].max() for stroke in first))
    left = float(min(stroke[:, 0].min() for stroke in second))
    move = np.array([right - left + rng.uniform(-0.15, 0.3), rng.normal(0.0, 0.08)])
    second = [stroke + move for stroke in second]
    kind = rng.random()
    if kind < 0.5:
        return [*first, *second]
    share = rng.uniform(0.15, 0.7)
    if kind < 0.75:
        return [*first, *prefix(second, share)]
    backwards = [stroke[::-1] for stroke in first[::-1]]
    end = [stroke[::-1] for stroke in prefix(backwards, share)[::-1]]
    return [*end, *second]


def scribble(rng: np.random.Generator) -> list[npt.NDArray[np.float64]]:
    """Draw one to four meaningless strokes: smooth curves, zigzags or straight lines.

    Returns: strokes of 2 to 40 points, about in a unit square.
    """
    kinds = (_wander, _zigzag, _line)
    count = int(rng.choice(4, p=(0.5, 0.25, 0.15, 0.1))) + 1
    # A single straight line would be a 1.
    chances = (0.6, 0.4, 0.0) if count == 1 else (0.4, 0.25, 0.35)
    return [kinds[rng.choice(3, p=chances)](rng) for _ in range(count)]


def _steps(stroke: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return np.asarray(np.hypot(*np.diff(np.asarray(stroke, np.float64), axis=0).T))


def _wander(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Draw a curve of constant speed whose curvature changes at random."""
    bend = np.cumsum(rng.normal(0.0, 0.12, 40)) + rng.normal(0.0, 0.2)
    direction = rng.uniform(0.0, 2 * np.pi) + np.cumsum(bend) * rng.uniform(0.3, 1.0)
    way = np.cumsum(np.stack([np.cos(direction), np.sin(direction)], axis=1), axis=0)
    return np.asarray(rng.random(2) + way * rng.uniform(0.02, 0.1))


def _zigzag(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Draw a zigzag, as people cross ink out."""
    turns = int(rng.integers(5, 12))
    across = np.linspace(0.0, rng.uniform(0.3, 1.0), turns)
    along = np.where(np.arange(turns) % 2, 1.0, 0.0) * rng.uniform(0.3, 1.0)
    points = np.stack([across, along], axis=1) + rng.normal(0.0, 0.05, (turns, 2))
    angle = rng.uniform(0.0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.asarray(points @ turn)


def _line(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    return rng.random((2, 2))
