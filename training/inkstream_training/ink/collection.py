"""Puts glyphs together: the frames to learn from, and those to choose by or to be measured on."""

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
"""The label of what is no digit; its target is the uniform distribution."""

OnGlyphs = Callable[[int], None]

_ALIKE = frozenset(label for labels in LOOK_ALIKES.values() for label in labels)


@dataclass(frozen=True, slots=True, eq=False)
class InkSet:
    """One part's glyphs, drawn as the server draws them. Row i of every digit array is glyph i."""

    digits: Frames
    """Whole digits."""

    labels: npt.NDArray[np.int32]
    """What is written in each."""

    sources: npt.NDArray[np.str_]
    """Whose each is: "pendigits", "unipen", "uji"."""

    writers: npt.NDArray[np.str_]
    """Who wrote each."""

    halves: Frames
    """The same digits when half of their ink is written."""

    letters: Frames
    """Letters and symbols."""

    letter_labels: npt.NDArray[np.str_]
    """What is written in each of those."""

    @property
    def look_alike(self) -> npt.NDArray[np.bool_]:
        """Which letters and symbols look like digits: (letters,)."""
        return np.array([looks_like_a_digit(label) for label in self.letter_labels], np.bool_)


@dataclass(frozen=True, slots=True)
class Split:
    """Which writers of a collection are held out; all others are learned from."""

    rule: str
    """How they are chosen."""

    validation: list[str]
    """Writers that choices are made by."""

    test: list[str]
    """Writers that the model is measured on."""


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What is learned from, drawn: more than one epoch holds."""

    frames: Frames
    """uint8 (n, 28, 28)."""

    labels: npt.NDArray[np.int32]
    """int32 (n,): the digit, or `NOT_A_DIGIT`."""

    shares: npt.NDArray[np.float64]
    """float64 (n,): how often an epoch holds each, on average."""


@dataclass(frozen=True, slots=True, eq=False)
class InkParts:
    """All the pen ink of a recipe, drawn."""

    learned: Learned
    """What is learned from."""

    validation: InkSet
    """What is chosen by."""

    test: InkSet
    """What is measured on."""

    splits: dict[str, Split]
    """Who is in which, by collection."""

    glyphs: dict[str, int]
    """Glyphs in each file, by its name."""


def prepare(
    mixture: InkMixture,
    folder: Path | None = None,
    on_glyphs: OnGlyphs = lambda drawn: None,
) -> InkParts:
    """Read and draw everything: a minute on one core, 350 MB.

    Args:
        mixture: see `learnable`.
        folder: see `sources.load`.
        on_glyphs: see `render_all`.

    Raises:
        DatasetUnavailable: a file is missing or not the one meant.
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
    """Read and draw only what a model is measured on, and say who is held out."""
    glyphs = [glyph for of_file in load(folder).values() for glyph in of_file]
    return select(glyphs, "test"), splits_of(glyphs)


def splits_of(glyphs: Iterable[Glyph]) -> dict[str, Split]:
    """Who is held out, by collection; writers in the order of their numbers or names."""
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
    """Draw one part's glyphs to choose by or to be measured on.

    Args:
        glyphs: of all parts.
        part: which one.
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
    """Draw what a network learns from: training writers' digits, and what is no digit.

    The same glyphs and mixture give the same frames; seeds of training do not enter.

    Args:
        glyphs: of all parts; those of other writers are left out.
        mixture: how much of what.
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
    """How much each digit counts, (n,), 1 on average. See `InkMixture.writer_evenness`."""
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
    """Write every glyph anew and draw it, `times` over; the drawings of a glyph lie together."""
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
