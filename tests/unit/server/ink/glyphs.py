"""Glyphs for tests: drawn by hand, by hypothesis, and real ones if the data is there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st
from inkstream.ink import read
from numpy.typing import NDArray

Strokes = list[NDArray[np.float64]]

DATA = Path(os.environ.get("INKSTREAM_DATA") or "/nonexistent")
needs_data = pytest.mark.skipif(
    not (DATA / "pendigits").is_dir(), reason="INKSTREAM_DATA has no ink"
)


def seven() -> Strokes:
    """Two strokes, y down, 40 high."""
    return [
        np.array([(10, 10), (20, 10), (30, 11), (24, 25), (18, 50)], np.float64),
        np.array([(15, 30), (29, 29)], np.float64),
    ]


def six() -> Strokes:
    """One stroke with a loop, y down, of 60 points."""
    turn = np.linspace(0, 1, 60)
    radius = np.where(turn < 0.4, 30 - 40 * turn, 14)
    angle = -0.8 - turn * 2.6 * np.pi
    return [np.stack([radius * np.cos(angle), 40 * turn - radius * np.sin(angle) / 2], axis=1)]


@cache
def real(count: int) -> Sequence[tuple[int, Strokes]]:
    """Label and strokes of pendigits, y up, spread over all writers."""
    inks = list(read(DATA / "pendigits/pendigits-orig.tra.gz"))
    return [(int(ink.label or 0), ink.arrays()) for ink in inks[:: len(inks) // count][:count]]


@st.composite
def written(draw: st.DrawFn) -> Strokes:
    """Strokes as a hand might draw them: 1 to 4 smooth walks that are no specks."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    strokes = []
    for _ in range(draw(st.integers(1, 4))):
        heading = random.uniform(0, 2 * np.pi) + np.cumsum(random.normal(0, 0.3, 40))
        steps = np.stack([np.cos(heading), np.sin(heading)], axis=1)
        strokes.append(random.uniform(-10, 10, 2) + np.cumsum(steps, axis=0))
    return strokes
