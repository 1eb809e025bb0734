"""Reads drawn ink as a server does: gives the answers of a model's networks to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy.typing as npt
from inkstream_server.confidence.rejection import tempered

from inkstream_training.card import Card
from inkstream_training.export import (
    LITERT_FILE,
    STROKES_LITERT_FILE,
    infer_litert,
    infer_strokes,
)
from inkstream_training.ink.collection import InkSet
from inkstream_training.ink.figures import InkAnswers
from inkstream_training.ink.rendering import Drawn
from inkstream_training.strokes.pair import PairWeights

__all__ = ["Reader", "answers_to", "reader_of"]

Reader = Callable[[Drawn], npt.NDArray[Any]]
"""Gives the answers (n, 10) of a server to ink."""


def answers_to(ink: InkSet, read: Reader) -> InkAnswers:
    """Give the answers to a set."""
    return InkAnswers(*(read(drawn) for drawn in (ink.digits, ink.halves, ink.letters)))


def image_reader(model: Path, card: Card) -> Reader:
    """Read with a version's network for images alone."""
    return lambda of: tempered(infer_litert(model / LITERT_FILE, of.frames), card.ink_temperature)


def strokes_reader(model: Path) -> Reader:
    """Read with a version's network for strokes alone."""
    return lambda of: infer_strokes(model / STROKES_LITERT_FILE, of.traces)


def reader_of(model: Path, card: Card) -> Reader:
    """Read with all of a version's networks, as a server that serves it does."""
    if card.strokes is None:
        return image_reader(model, card)
    weights = PairWeights(card.strokes.image_weight, card.strokes.strokes_weight)
    strokes = strokes_reader(model)
    return lambda of: weights.combine(infer_litert(model / LITERT_FILE, of.frames), strokes(of))
