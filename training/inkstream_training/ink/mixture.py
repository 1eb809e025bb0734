"""Writes the ink that a network learns from: digits anew at random, and ink of no digit.

Knows strokes. Leaves to the caller what a network sees of them: a frame or a trace.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from inkstream_server.ink import PEN_WIDTH

from inkstream_training.ink.distortion import distort, pen_width
from inkstream_training.ink.negatives import (
    LOOK_ALIKES,
    Strokes,
    merged,
    prefix,
    prefix_share,
    scribble,
)
from inkstream_training.ink.sources import Glyph, is_digit
from inkstream_training.recipes import InkMixture

__all__ = ["NOT_A_DIGIT", "Written", "looks_like_a_digit", "write"]

NOT_A_DIGIT = -1
"""Label of what is no digit; its target is the uniform distribution."""

_ALIKE = frozenset(label for labels in LOOK_ALIKES.values() for label in labels)


class Written(NamedTuple):
    """Ink to learn from."""

    strokes: Strokes
    """Strokes in writing order, each (n, 2)."""

    y_up: bool
    """Whether y grows upwards."""

    label: int
    """The digit, or `NOT_A_DIGIT`."""

    share: float
    """Mean number of times that an epoch holds it."""

    width: float = PEN_WIDTH
    """Width of the pen, pixels."""


def looks_like_a_digit(label: str) -> bool:
    """Whether a letter or symbol is among `LOOK_ALIKES`."""
    return label in _ALIKE


def write(glyphs: list[Glyph], mixture: InkMixture) -> Iterator[Written]:
    """Write all ink of a mixture, more than one epoch holds.

    The same glyphs and mixture give the same ink, whatever the seed of training.

    Args:
        glyphs: glyphs of all parts; only training writers are used.
        mixture: amounts of each kind.
    """
    of_part = [
        glyph
        for glyph in glyphs
        if glyph.part == "training" and (mixture.has_strings or not glyph.in_string)
    ]
    digits = [glyph for glyph in of_part if is_digit(glyph)]
    letters = [g for g in of_part if not is_digit(g) and not looks_like_a_digit(g.label)]
    rng = np.random.default_rng(mixture.seed)
    amounts = mixture.distortion
    each = mixture.digit_repeats / max(1, mixture.digit_drawings)
    for glyph, weight in zip(digits, _weights(digits, mixture.writer_evenness), strict=True):
        for _ in range(mixture.digit_drawings):
            strokes = distort(glyph.strokes, amounts, rng)
            width = pen_width(amounts, rng)
            yield Written(strokes, glyph.y_up, int(glyph.label), float(weight) * each, width)
    for glyph in digits:
        for _ in range(mixture.prefixes[int(glyph.label)]):
            strokes = prefix(distort(glyph.strokes, amounts, rng), prefix_share(rng))
            yield Written(strokes, glyph.y_up, NOT_A_DIGIT, mixture.prefix_repeats)
    for _ in range(mixture.merged if digits else 0):
        first, second = (
            _downwards(digits[index], mixture, rng) for index in rng.integers(len(digits), size=2)
        )
        strokes = merged(first, second, rng)
        width = pen_width(amounts, rng)
        yield Written(strokes, False, NOT_A_DIGIT, mixture.merged_repeats, width)
    each = mixture.letter_repeats / max(1, mixture.letter_drawings)
    for glyph in letters:
        for _ in range(mixture.letter_drawings):
            strokes = distort(glyph.strokes, amounts, rng)
            yield Written(strokes, glyph.y_up, NOT_A_DIGIT, each, pen_width(amounts, rng))
    for _ in range(mixture.scribbles):
        yield Written(scribble(rng), False, NOT_A_DIGIT, 1.0)


def _downwards(
    glyph: Glyph, mixture: InkMixture, rng: np.random.Generator
) -> list[npt.NDArray[np.float64]]:
    """Distort a glyph, and give it with y down."""
    strokes = distort(glyph.strokes, mixture.distortion, rng)
    return [stroke * (1.0, -1.0) for stroke in strokes] if glyph.y_up else strokes


def _weights(digits: list[Glyph], evenness: float) -> npt.NDArray[Any]:
    """Give the weight of each digit, (n,), 1 on average; see `InkMixture.writer_evenness`."""
    writers = [f"{glyph.source} {glyph.writer}" for glyph in digits]
    _, of, counts = np.unique(writers, return_inverse=True, return_counts=True)
    weights = counts[of].astype(np.float64) ** -evenness
    return np.asarray(weights / weights.mean())
