"""Reads the files of pen ink that models learn from, and checks their digests.

It downloads nothing. UNIPEN and UJI are JSON Lines made from their originals, one object a line;
pendigits is the file of original strokes as UCI publishes it. See `FILES` for the names.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
from inkstream.ink import Ink, InvalidInk, read
from inkstream.mnist import DatasetUnavailable

from inkstream_training.ink.splits import Part, part_of

__all__ = ["FILES", "Glyph", "InkFile", "is_digit", "load", "locate"]


@dataclass(frozen=True, slots=True)
class InkFile:
    """One file of glyphs."""

    name: str
    """Path below the folder of data."""

    sha256: str
    """Digest of the file, hexadecimal."""

    source: str
    """Source of its writers, a key of `splits.RULES`."""

    licence: str
    """Licence, as its source states it."""

    holds_strings: bool = False
    """Whether each ink is a string of digits instead of one character."""


FILES: tuple[InkFile, ...] = (
    InkFile(
        "pendigits/pendigits-orig.tra.gz",
        "a2439472baad3b4d30d6ccc3233f76e670ccc021ae303cbab57384df1f93ad79",
        "pendigits",
        "CC BY 4.0, UCI Machine Learning Repository 81",
    ),
    InkFile(
        "unipen/digits.jsonl.gz",
        "380679a4ced19f30f629af1834c06fe799d34dd7a8da57ce96dec79f0d322693",
        "unipen",
        "CC BY 4.0, Zenodo 10.5281/zenodo.1195803",
    ),
    InkFile(
        "unipen/nondigits.jsonl.gz",
        "6e79289548eef50548668214f6e965d03cbd76ac85b9894dbc114e7e548af691",
        "unipen",
        "CC BY 4.0, Zenodo 10.5281/zenodo.1195803",
    ),
    InkFile(
        "unipen/digit_strings.jsonl.gz",
        "eb89ad4f2c92155ba5a213c6a95f91749e2ae8750988973f9a3da59ce44e8c87",
        "unipen",
        "CC BY 4.0, Zenodo 10.5281/zenodo.1195803",
        holds_strings=True,
    ),
    InkFile(
        "uji/digits.jsonl.gz",
        "312d95617c71ccc7099818950cde41a2ea90a14519240217df467e02091215de",
        "uji",
        "CC BY 4.0, UCI Machine Learning Repository, UJIpenchars2",
    ),
)
"""Files of the recipes with ink."""


@dataclass(frozen=True, slots=True, eq=False)
class Glyph:
    """A written character."""

    source: str
    """"pendigits", "unipen" or "uji"."""

    writer: str
    """Unique in its source: "12", "aga/amywldrp", "W05"."""

    label: str
    """The written character: a digit, a letter or a symbol."""

    strokes: tuple[npt.NDArray[Any], ...]
    """Pen-down ink in writing order, each (n, 2), x and y in one unit."""

    y_up: bool
    """Whether y grows upwards."""

    in_string: bool = False
    """Whether it was cut from a string of digits. Such digits are for training only."""

    @property
    def part(self) -> Part:
        """The part of its writer: training, validation or test."""
        return part_of(self.source, self.writer)


def is_digit(glyph: Glyph) -> bool:
    """Whether the character is a digit."""
    return len(glyph.label) == 1 and glyph.label in "0123456789"


def load(
    folder: Path | None = None, *, on_file: Callable[[str], None] = lambda name: None
) -> dict[str, list[Glyph]]:
    """Read all files. Takes ten seconds on one core.

    Args:
        folder: the folder of data; None takes `$INKSTREAM_DATA`.
        on_file: called with each file's name before it is read.

    Returns: the glyphs of each file, in its order, by its name.

    Raises:
        DatasetUnavailable: a file is missing, cannot be read, or its digest is wrong.
    """
    where = folder or _named()
    if where is None:
        raise DatasetUnavailable(
            "pen ink: INKSTREAM_DATA is not set; set it to the folder that holds "
            + ", ".join(file.name for file in FILES)
        )
    glyphs = {}
    for file in FILES:
        on_file(file.name)
        _check(file, where / file.name)
        try:
            glyphs[file.name] = list(_glyphs(file, where / file.name))
        except InvalidInk as error:
            raise DatasetUnavailable(str(error)) from error
    return glyphs


def locate(folder: Path | None = None) -> Path | None:
    """Give the folder that `load` would read, or None if a file is missing."""
    where = folder or _named()
    if where is None or not all((where / file.name).is_file() for file in FILES):
        return None
    return where


def _named() -> Path | None:
    """Give the folder that the environment names."""
    named = os.environ.get("INKSTREAM_DATA")
    return Path(named) if named else None


def _glyphs(file: InkFile, path: Path) -> Iterator[Glyph]:
    for ink in read(path):
        if ink.label is None or ink.writer is None:
            raise DatasetUnavailable(f"{path}: expected a label and a writer for every glyph")
        writer = ink.writer if ink.contributor is None else f"{ink.contributor}/{ink.writer}"
        is_up = ink.y == "up"
        if not file.holds_strings:
            yield Glyph(file.source, writer, ink.label, tuple(ink.arrays()), is_up)
            continue
        for label, strokes in _digits_of(ink):
            yield Glyph(file.source, writer, label, strokes, is_up, in_string=True)


def _digits_of(ink: Ink) -> Iterator[tuple[str, tuple[npt.NDArray[Any], ...]]]:
    """Cut a string of digits, if it is known which strokes are whose.

    The file states it for some (`strokes_per_digit`). Of others, those with as many strokes as digits are
    taken, a stroke each.
    """
    labels = "".join((ink.label or "").split())
    strokes = ink.arrays()
    counts = ink.extra.get("strokes_per_digit") or [1] * len(strokes)
    if len(counts) != len(labels) or sum(counts) != len(strokes):
        return
    start = 0
    for label, count in zip(labels, counts, strict=True):
        yield label, tuple(strokes[start : start + count])
        start += count


def _check(file: InkFile, path: Path) -> None:
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DatasetUnavailable(
            f"{path}: {error.strerror}; set INKSTREAM_DATA to the folder that holds {file.name}"
        ) from error
    if digest != file.sha256:
        raise DatasetUnavailable(f"{path}: expected sha256 {file.sha256}, got {digest}")
