"""Collects glyphs into sets of frames for training, validation and test."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inkstream_training.ink.distortion import distort, pen_width
from inkstream_training.ink.negatives import LOOK_ALIKES, prefix, prefix_share, scribble
from inkstream_training.ink.rendering import Frames, render, render_all
from inkstream_training.ink.sources import Glyph, is_digit, load
from inkstream_training.ink.splits import RULES, Part
from inkstream_training.recipes import InkMixture

__all__ = [
    "NOT_A_DIGIT",
    "InkParts",
    "InkSet",
    "Learned",
    "OnGlyphs",
    "Split",
    "learnable",
    "looks_like_a_digit",
    "prepare",
    "select",
    "splits_of",
    "test_set",
]

NOT_A_DIGIT = -1
"""Label of frames without a digit; their target is the uniform distribution."""

OnGlyphs = Callable[[int], None]

_ALIKE = frozenset(label for labels in LOOK_ALIKES.values() for label in labels)


@dataclass(frozen=True, slots=True, eq=False)
class InkSet:
    """The glyphs of one part, drawn as the server draws them. Row i of every digit array is glyph i."""

    digits: Frames
    """Whole digits."""

    labels: npt.NDArray[np.int32]
    """Digit of each."""

    sources: npt.NDArray[np.str_]
    """Source of each: "pendigits", "unipen" or "uji"."""

    writers: npt.NDArray[np.str_]
    """Writer of each."""

    halves: Frames
    """The same digits, cut at half of their ink."""

    letters: Frames
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
    """Frames for training; more than one epoch holds."""

    frames: Frames
    """uint8 (n, 28, 28)."""

    labels: npt.NDArray[np.int32]
    """int32 (n,): the digit, or `NOT_A_DIGIT`."""

    shares: npt.NDArray[np.float64]
    """float64 (n,): mean number of times that an epoch holds each."""


@dataclass(frozen=True, slots=True, eq=False)
class InkParts:
    """All the pen ink of a recipe, drawn."""

    learned: Learned
    """Frames for training."""

    validation: InkSet
    """Glyphs for validation."""

    test: InkSet
    """Glyphs for the test."""

    splits: dict[str, Split]
    """Held-out writers by collection."""

    glyphs: dict[str, int]
    """Number of glyphs in each file, by its name."""


def prepare(
    mixture: InkMixture,
    folder: Path | None = None,
    on_glyphs: OnGlyphs = lambda drawn: None,
) -> InkParts:
    """Read and draw everything. Takes a minute on one core, and 350 MB.

    Args:
        mixture: see `learnable`.
        folder: see `sources.load`.
        on_glyphs: see `render_all`.

    Raises:
        DatasetUnavailable: a file is missing, or its digest is wrong.
    """
    files = load(folder)
    glyphs = [glyph for of_file in files.values() for glyph in of_file]
    return InkParts(
        learnable(glyphs, mixture, on_glyphs),
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
    for glyph in glyphs:
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


def looks_like_a_digit(label: str) -> bool:
    """Whether a letter or symbol is among `LOOK_ALIKES`."""
    return label in _ALIKE


def select(glyphs: Iterable[Glyph], part: Part, on_glyphs: OnGlyphs = lambda drawn: None) -> InkSet:
    """Draw the glyphs of one part, for validation or test.

    Args:
        glyphs: glyphs of all parts.
        part: part to draw.
        on_glyphs: see `render_all`.
    """
    of_part = [glyph for glyph in glyphs if glyph.part == part]
    digits = [glyph for glyph in of_part if is_digit(glyph)]
    letters = [glyph for glyph in of_part if not is_digit(glyph)]
    return InkSet(
        digits=_whole(digits, on_glyphs),
        labels=np.array([int(glyph.label) for glyph in digits], np.int32),
        sources=np.array([glyph.source for glyph in digits], np.str_),
        writers=np.array([glyph.writer for glyph in digits], np.str_),
        halves=render_all(((prefix(g.strokes, 0.5), g.y_up) for g in digits), on_glyphs=on_glyphs),
        letters=_whole(letters, on_glyphs),
        letter_labels=np.array([glyph.label for glyph in letters], np.str_),
    )


def learnable(
    glyphs: Iterable[Glyph],
    mixture: InkMixture,
    on_glyphs: OnGlyphs = lambda drawn: None,
) -> Learned:
    """Draw the frames for training: digits of training writers, and ink of no digit.

    The same glyphs and mixture give the same frames, whatever the seed of training.

    Args:
        glyphs: glyphs of all parts; only training writers are used.
        mixture: amounts of each kind.
        on_glyphs: see `render_all`.
    """
    of_part = [glyph for glyph in glyphs if glyph.part == "training"]
    digits = [glyph for glyph in of_part if is_digit(glyph)]
    letters = [g for g in of_part if not is_digit(g) and not looks_like_a_digit(g.label)]
    rng = np.random.default_rng(mixture.seed)
    cut = (
        (prefix(distort(glyph.strokes, mixture.distortion, rng), prefix_share(rng)), glyph.y_up)
        for glyph in digits
        for _ in range(mixture.prefixes[int(glyph.label)])
    )
    scribbles = ((scribble(rng), False) for _ in range(mixture.scribbles))
    drawn = _anew(digits, mixture.digit_drawings, mixture, rng, on_glyphs)
    prefixes = render_all(cut, on_glyphs=on_glyphs)
    written = _anew(letters, mixture.letter_drawings, mixture, rng, on_glyphs)
    scribbled = render_all(scribbles, on_glyphs=on_glyphs)
    blanks = np.zeros((mixture.blanks, 28, 28), np.uint8)
    labels = np.array([int(glyph.label) for glyph in digits], np.int32)
    weights = _weights(digits, mixture.writer_evenness)
    none = len(prefixes) + len(written) + len(scribbled) + len(blanks)
    return Learned(
        frames=np.concatenate([drawn, prefixes, written, scribbled, blanks]),
        labels=np.concatenate(
            [np.repeat(labels, mixture.digit_drawings), np.full(none, NOT_A_DIGIT, np.int32)]
        ),
        shares=np.concatenate(
            [
                np.repeat(weights, mixture.digit_drawings)
                * (mixture.digit_repeats / mixture.digit_drawings),
                np.full(len(prefixes), mixture.prefix_repeats),
                np.full(len(written), mixture.letter_repeats / mixture.letter_drawings),
                np.ones(len(scribbled) + len(blanks)),
            ]
        ),
    )


def _weights(digits: list[Glyph], evenness: float) -> npt.NDArray[np.float64]:
    """Give the weight of each digit, (n,), 1 on average; see `InkMixture.writer_evenness`."""
    writers = [f"{glyph.source} {glyph.writer}" for glyph in digits]
    _, of, counts = np.unique(writers, return_inverse=True, return_counts=True)
    weights = counts[of].astype(np.float64) ** -evenness
    return np.asarray(weights / weights.mean())


def _anew(
    glyphs: list[Glyph],
    times: int,
    mixture: InkMixture,
    rng: np.random.Generator,
    on_glyphs: OnGlyphs,
) -> Frames:
    """Distort and draw every glyph `times` times; the drawings of a glyph are adjacent."""
    amounts = mixture.distortion
    frames = np.zeros((len(glyphs) * times, 28, 28), np.uint8)
    for index, glyph in enumerate(glyphs):
        for at in range(index * times, (index + 1) * times):
            strokes = distort(glyph.strokes, amounts, rng)
            frames[at] = render(strokes, y_up=glyph.y_up, width=pen_width(amounts, rng))
        on_glyphs(1)
    return frames


def _by_number(writer: str) -> tuple[int, str]:
    return (int(writer) if writer.isdecimal() else 0, writer)


def _whole(glyphs: list[Glyph], on_glyphs: OnGlyphs) -> Frames:
    return render_all(((glyph.strokes, glyph.y_up) for glyph in glyphs), on_glyphs=on_glyphs)
