"""Learns how likely early answers to ink are to last: the tables of `inkstream_server.pens.stability`.

It cuts the digits of validation writers, as a server sees them while the pen moves (interim) and when it
lifts (provisional), and counts how often the early answer equals the answer to the whole glyph, right or
wrong.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from inkstream_server.ink import normalize
from inkstream_server.pens.stability import BOUNDS

from inkstream_training.ink.negatives import Strokes, prefix
from inkstream_training.ink.rendering import Drawn, drawn
from inkstream_training.ink.sources import Glyph, is_digit
from inkstream_training.ink.splits import Part

__all__ = ["SHARES", "Cuts", "Tables", "expected_error", "fit", "observe", "stabilities"]

SHARES = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95)
"""Shares of the ink at which a glyph is cut short."""

_PRIOR = 20.0
"""Weight of the share over all digits in a bin, in cuts of one digit."""

Tables = dict[str, npt.NDArray[np.float64]]
"""By state ("interim", "provisional"): (10, len(BOUNDS) + 1), the probability by digit and bin."""


@dataclass(frozen=True, slots=True, eq=False)
class Cuts:
    """Early answers of one state; each row is one answer."""

    digits: npt.NDArray[np.int64]
    """Early answer."""

    confidences: npt.NDArray[np.float64]
    """Its confidence."""

    lasted: npt.NDArray[np.bool_]
    """Whether it equals the answer to the whole glyph."""


def observe(
    glyphs: Iterable[Glyph], part: Part, read: Callable[[Drawn], npt.NDArray[Any]]
) -> dict[str, Cuts]:
    """Run a model on every early state of one part's digits. Takes some seconds for a thousand glyphs.

    Args:
        glyphs: glyphs of all parts, letters included.
        part: part whose digits are cut.
        read: gives the answers (n, 10) of a server to ink.

    Raises:
        ValueError: the part has no digits.
    """
    states: list[str] = []
    wholes: list[int] = []
    inks: list[tuple[Strokes, bool]] = []
    for glyph in glyphs:
        if glyph.part != part or not is_digit(glyph) or glyph.in_string:
            continue
        # A server answers a dot by rule, without a network.
        seen = [(state, cut) for state, cut in _early(glyph.strokes) if _has_extent(cut)]
        states += [state for state, _ in seen] + ["final"]
        inks += [(cut, glyph.y_up) for _, cut in seen] + [(glyph.strokes, glyph.y_up)]
        wholes += [len(inks) - 1] * (len(seen) + 1)
    if not inks:
        raise ValueError(f"glyphs: expected digits of {part}'s writers, got none")
    probabilities = read(drawn(inks))
    digits, confidences = probabilities.argmax(axis=1), probabilities.max(axis=1)
    lasted, of = digits == digits[wholes], np.array(states)
    return {
        state: Cuts(digits[of == state], confidences[of == state], lasted[of == state])
        for state in ("interim", "provisional")
    }


def fit(observed: dict[str, Cuts]) -> Tables:
    """Compute the share of answers that lasted, by digit and bin of confidence.

    If a digit has few answers in a bin, the share is close to that of all digits in the bin.
    """
    tables = {}
    for state, cuts in observed.items():
        seen, lasted = np.zeros((2, 10, len(BOUNDS) + 1))
        np.add.at(seen, (cuts.digits, _bins(cuts)), 1)
        np.add.at(lasted, (cuts.digits, _bins(cuts)), cuts.lasted)
        overall = (lasted.sum(axis=0) + 1) / (seen.sum(axis=0) + 2)
        tables[state] = (lasted + _PRIOR * overall) / (seen + _PRIOR)
    return tables


def stabilities(tables: Tables, state: str, cuts: Cuts) -> npt.NDArray[np.float64]:
    """Give the stability, (n,), that a server with these tables gives to each early answer."""
    return np.asarray(tables[state][cuts.digits, _bins(cuts)])


def expected_error(claimed: npt.NDArray[np.float64], cuts: Cuts, bins: int = 15) -> float:
    """Compute the mean distance between claimed stability (n,) and share that lasted, over equal bins."""
    index = np.clip(np.ceil(claimed * bins).astype(int) - 1, 0, bins - 1)
    surplus = np.bincount(index, weights=claimed - cuts.lasted, minlength=bins)
    return float(np.abs(surplus).sum() / len(claimed))


def _early(strokes: Strokes) -> Iterator[tuple[str, Strokes]]:
    """Give what a server sees before the glyph ends, the state at the last pen-up included."""
    for share in SHARES:
        yield "interim", prefix(strokes, share)
    for count in range(1, len(strokes) + 1):
        yield "provisional", strokes[:count]


def _has_extent(strokes: Strokes) -> bool:
    glyph = normalize(strokes, y_up=False)
    return glyph is not None and not glyph.is_dot


def _bins(cuts: Cuts) -> npt.NDArray[np.int64]:
    return np.array([bisect_right(BOUNDS, value) for value in cuts.confidences.tolist()], np.int64)
