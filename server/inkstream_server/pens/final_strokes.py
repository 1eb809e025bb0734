"""Remembers which of a pen's strokes have a final answer, so that they are not erased or written again."""

from array import array
from collections.abc import Iterable
from typing import Final

from inkstream_server.limits.memory_book import Account
from inkstream_server.pens.memory import Held

BASE_BYTES: Final = 400
STROKE_BYTES: Final = 9
"""Two numbers of 4 bytes, and what arrays reserve."""


class FinalStrokes(Held):
    """The last strokes of a pen that have a final answer, each with its glyph."""

    __slots__ = ("_glyphs", "_highest", "_strokes")

    def __init__(self, account: Account) -> None:
        """Start with none."""
        super().__init__(account, BASE_BYTES)
        self._strokes = array("I")
        self._glyphs = array("I")
        self._highest = 0

    def __len__(self) -> int:
        return len(self._strokes)

    def glyph_of(self, stroke: int) -> int:
        """Give the number of a stroke's glyph; 0 if its answer is not final, or no longer known."""
        if stroke > self._highest:
            return 0  # Nearly always, since callers count up.
        try:
            return self._glyphs[self._strokes.index(stroke)]
        except ValueError:
            return 0

    def add(self, strokes: Iterable[int], glyph: int, most: int) -> None:
        """Remember the strokes of a glyph, and at most `most` strokes of all glyphs, the last ones."""
        for stroke in strokes:
            self._strokes.append(stroke)
            self._glyphs.append(glyph)
            self._highest = max(self._highest, stroke)
        if len(self._strokes) > most:
            del self._strokes[:-most], self._glyphs[:-most]
        self._resize(BASE_BYTES + STROKE_BYTES * len(self._strokes))
