"""Collects glyphs into sets for training, validation and test, as networks see them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from inkstream_server.ink import CHANNELS, POINTS

from inkstream_training import letters as letter_images
from inkstream_training.ink.mixture import Written, looks_like_a_digit, write
from inkstream_training.ink.negatives import prefix
from inkstream_training.ink.rendering import Drawn, OnGlyphs, drawn, frame, in_one_array, trace
from inkstream_training.ink.sources import Glyph, is_digit, load
from inkstream_training.ink.splits import RULES, Part
from inkstream_training.letters import Letters
from inkstream_training.recipes import InkMixture, Recipe

__all__ = [
    "InkParts",
    "InkSet",
    "Learned",
    "Split",
    "learn_frames",
    "learn_traces",
    "prepare",
    "select",
    "splits_of",
    "test_set",
]


@dataclass(frozen=True, slots=True, eq=False)
class InkSet:
    """The glyphs of one part, as a server sees them. Row i of every digit array is glyph i."""

    digits: Drawn
    """Whole digits."""

    labels: npt.NDArray[np.int32]
    """Digit of each."""

    sources: npt.NDArray[np.str_]
    """Source of each: "pendigits", "unipen" or "uji"."""

    writers: npt.NDArray[np.str_]
    """Writer of each."""

    halves: Drawn
    """The same digits, cut at half of their ink."""

    letters: Drawn
    """Letters and symbols."""

    letter_labels: npt.NDArray[np.str_]
    """Label of each letter or symbol."""

    @property
    def look_alike(self) -> npt.NDArray[np.bool_]:
        """Whether each letter or symbol looks like a digit: (letters,)."""
        return np.array([looks_like_a_digit(label) for label in self.letter_labels], np.bool_)


@dataclass(frozen=True, slots=True)
class Split:
    """Held-out writers of a collection; all others are for training."""

    rule: str
    """Rule by which they are chosen."""

    validation: list[str]
    """Writers for validation."""

    test: list[str]
    """Writers for the test."""


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What one network learns from; more than one epoch holds."""

    inputs: npt.NDArray[Any]
    """Frames, uint8 (n, 28, 28), or traces, float16 (n, 64, 7)."""

    labels: npt.NDArray[np.int32]
    """int32 (n,): the digit, or `mixture.NOT_A_DIGIT`."""

    shares: npt.NDArray[np.float64]
    """float64 (n,): mean number of times that an epoch holds each."""


@dataclass(frozen=True, slots=True, eq=False)
class InkParts:
    """All that a recipe with ink learns from and is measured on, but MNIST."""

    frames: Learned
    """For the network for images."""

    traces: Learned
    """For the network for strokes."""

    letters: Letters
    """Images of letters, for the network for images."""

    validation: InkSet
    """Glyphs for validation."""

    test: InkSet
    """Glyphs for the test."""

    splits: dict[str, Split]
    """Held-out writers by collection."""

    glyphs: dict[str, int]
    """Number of glyphs in each file, by its name."""


def prepare(
    recipe: Recipe,
    folder: Path | None = None,
    on_glyphs: OnGlyphs = lambda drawn: None,
) -> InkParts:
    """Read and draw everything. Takes three minutes on one core, and 1 GB.

    Args:
        recipe: a recipe with ink and strokes.
        folder: see `sources.load`.
        on_glyphs: see `rendering.OnGlyphs`.

    Raises:
        DatasetUnavailable: a file is missing, or its digest is wrong.
    """
    if recipe.ink is None or recipe.strokes is None:
        raise ValueError(f"recipe: expected one with ink and strokes, got {recipe.name}")
    # First, because it is small: a missing file is found before ink is drawn for minutes.
    letters = letter_images.load(folder)
    files = load(folder)
    glyphs = [glyph for of_file in files.values() for glyph in of_file]
    return InkParts(
        learn_frames(glyphs, recipe.ink, on_glyphs),
        learn_traces(glyphs, recipe.strokes.ink, on_glyphs),
        letters,
        validation=select(glyphs, "validation", on_glyphs),
        test=select(glyphs, "test", on_glyphs),
        splits=splits_of(glyphs),
        glyphs={name: len(of_file) for name, of_file in files.items()},
    )


def test_set(folder: Path | None = None) -> tuple[InkSet, dict[str, Split]]:
    """Read and draw only the test set, and give the held-out writers."""
    glyphs = [glyph for of_file in load(folder).values() for glyph in of_file]
    return select(glyphs, "test"), splits_of(glyphs)


def splits_of(glyphs: Iterable[Glyph]) -> dict[str, Split]:
    """Give the held-out writers by collection, sorted by number or name."""
    found: dict[str, dict[str, set[str]]] = {}
    for glyph in (it for it in glyphs if not it.in_string):
        parts = found.setdefault(
            glyph.source, {"training": set(), "validation": set(), "test": set()}
        )
        parts[glyph.part].add(glyph.writer)
    return {
        source: Split(
            RULES[source],
            sorted(parts["validation"], key=_by_number),
            sorted(parts["test"], key=_by_number),
        )
        for source, parts in found.items()
    }


def select(glyphs: Iterable[Glyph], part: Part, on_glyphs: OnGlyphs = lambda drawn: None) -> InkSet:
    """Draw the glyphs of one part, for validation or test.

    Args:
        glyphs: glyphs of all parts.
        part: part to draw.
        on_glyphs: see `rendering.OnGlyphs`.
    """
    of_part = [glyph for glyph in glyphs if glyph.part == part and not glyph.in_string]
    digits = [glyph for glyph in of_part if is_digit(glyph)]
    letters = [glyph for glyph in of_part if not is_digit(glyph)]
    return InkSet(
        digits=_whole(digits, on_glyphs),
        labels=np.array([int(glyph.label) for glyph in digits], np.int32),
        sources=np.array([glyph.source for glyph in digits], np.str_),
        writers=np.array([glyph.writer for glyph in digits], np.str_),
        halves=drawn(((prefix(g.strokes, 0.5), g.y_up) for g in digits), on_glyphs),
        letters=_whole(letters, on_glyphs),
        letter_labels=np.array([glyph.label for glyph in letters], np.str_),
    )


def learn_frames(
    glyphs: list[Glyph], mixture: InkMixture, on_glyphs: OnGlyphs = lambda drawn: None
) -> Learned:
    """Draw what the network for images learns from; see `mixture.write`."""

    def draw(it: Written) -> npt.NDArray[Any]:
        return frame(it.strokes, y_up=it.y_up, width=it.width)

    return _learn(write(glyphs, mixture), draw, (28, 28), np.uint8, on_glyphs)


def learn_traces(
    glyphs: list[Glyph], mixture: InkMixture, on_glyphs: OnGlyphs = lambda drawn: None
) -> Learned:
    """Write what the network for strokes learns from; see `mixture.write`."""

    def encode(it: Written) -> npt.NDArray[Any]:
        return trace(it.strokes, y_up=it.y_up)

    # Numbers from -1 to 1 lose nothing that matters in 16 bits, and take half the memory.
    return _learn(write(glyphs, mixture), encode, (POINTS, CHANNELS), np.float16, on_glyphs)


def _learn(
    written: Iterable[Written],
    draw: Callable[[Written], npt.NDArray[Any]],
    shape: tuple[int, ...],
    dtype: npt.DTypeLike,
    on_glyphs: OnGlyphs,
) -> Learned:
    labels: list[int] = []
    shares: list[float] = []

    def noted() -> Iterator[Written]:
        for it in written:
            labels.append(it.label)
            shares.append(it.share)
            yield it

    inputs = in_one_array(noted(), draw, shape, dtype, on_glyphs)
    return Learned(inputs, np.array(labels, np.int32), np.array(shares, np.float64))


def _by_number(writer: str) -> tuple[int, str]:
    return (int(writer) if writer.isdecimal() else 0, writer)


def _whole(glyphs: list[Glyph], on_glyphs: OnGlyphs) -> Drawn:
    return drawn(((glyph.strokes, glyph.y_up) for glyph in glyphs), on_glyphs)
