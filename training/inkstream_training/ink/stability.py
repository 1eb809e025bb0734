"""Learns how likely early answers to ink are to last: the tables of `inkstream_server.pens.stability`.

Validation's writers are cut short, as a server sees them while the pen moves (interim) and where it
lifts (provisional), and asked whether the answer is that to the whole glyph, right or wrong.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from inkstream_server.pens.stability import BOUNDS

from inkstream_training.ink.negatives import Strokes, prefix
from inkstream_training.ink.rendering import Frames, render
from inkstream_training.ink.sources import Glyph, is_digit
from inkstream_training.ink.splits import Part

__all__ = ["SHARES", "Cuts", "Tables", "expected_error", "fit", "observe", "stabilities"]

SHARES = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95)
"""Shares of the ink at which a glyph is cut short."""

_PRIOR = 20.0
"""How many cuts the share of all digits in a bin weighs beside the cuts of one digit."""

Tables = dict[str, npt.NDArray[np.float64]]
"""By state ("interim", "provisional"): (10, len(BOUNDS) + 1), the probability by digit and bin."""


@dataclass(frozen=True, slots=True, eq=False)
class Cuts:
    """Early answers of one state, one a row."""

    digits: npt.NDArray[np.int64]
    """What was answered early."""

    confidences: npt.NDArray[np.float64]
    """How surely."""

    lasted: npt.NDArray[np.bool_]
    """Whether the whole glyph is answered alike."""


def observe(
    glyphs: Iterable[Glyph], part: Part, infer: Callable[[Frames], npt.NDArray[np.float32]]
) -> dict[str, Cuts]:
    """Ask a model about every early state of one part's digits; some seconds a thousand glyphs.

    Args:
        glyphs: of all parts, letters among them.
        part: whose digits are cut.
        infer: probabilities (n, 10) of frames (n, 28, 28).

    Raises:
        ValueError: the part has no digits.
    """
    states: list[str] = []
    wholes: list[int] = []
    frames: list[Frames] = []
    for glyph in glyphs:
        if glyph.part != part or not is_digit(glyph):
            continue
        early = [
            (state, render(strokes, y_up=glyph.y_up)) for state, strokes in _early(glyph.strokes)
        ]
        seen = [(state, frame) for state, frame in early if frame.any()]
        states += [state for state, _ in seen] + ["final"]
        frames += [frame for _, frame in seen] + [render(glyph.strokes, y_up=glyph.y_up)]
        wholes += [len(frames) - 1] * (len(seen) + 1)
    if not frames:
        raise ValueError(f"glyphs: expected digits of {part}'s writers, got none")
    probabilities = infer(np.stack(frames))
    digits, confidences = probabilities.argmax(axis=1), probabilities.max(axis=1)
    lasted, of = digits == digits[wholes], np.array(states)
    return {
        state: Cuts(digits[of == state], confidences[of == state], lasted[of == state])
        for state in ("interim", "provisional")
    }


def fit(observed: dict[str, Cuts]) -> Tables:
    """The share of answers that lasted, by digit and bin of confidence.

    Where a digit has few answers in a bin, the share leans towards that of all digits there.
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
    """What a server with these tables says of each early answer, (n,)."""
    return np.asarray(tables[state][cuts.digits, _bins(cuts)])


def expected_error(claimed: npt.NDArray[np.float64], cuts: Cuts, bins: int = 15) -> float:
    """Mean distance between what is claimed (n,) and what lasted, over bins of equal width."""
    index = np.clip(np.ceil(claimed * bins).astype(int) - 1, 0, bins - 1)
    surplus = np.bincount(index, weights=claimed - cuts.lasted, minlength=bins)
    return float(np.abs(surplus).sum() / len(claimed))


def _early(strokes: Strokes) -> Iterator[tuple[str, Strokes]]:
    """What a server answers before the glyph ends; the last pen-up's answer is one of those."""
    for share in SHARES:
        yield "interim", prefix(strokes, share)
    for count in range(1, len(strokes) + 1):
        yield "provisional", strokes[:count]


def _bins(cuts: Cuts) -> npt.NDArray[np.int64]:
    return np.array([bisect_right(BOUNDS, value) for value in cuts.confidences.tolist()], np.int64)
