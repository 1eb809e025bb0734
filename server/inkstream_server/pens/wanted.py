"""What a pen asks for: the answers that its glyphs should get."""

from dataclasses import dataclass
from typing import Literal

from inkstream_server.pens.strokes import Glyph, Ink

State = Literal["interim", "provisional", "final", "dropped"]
"""What a glyph should get: an answer, or, after a clear, none."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An answer that a glyph should get, with its ink as it stood when it was asked for."""

    glyph: Glyph
    state: State
    edition: int
    """Which of the glyph's editions the ink is."""
    ink: Ink
    strokes: tuple[int, ...]
    """The caller's numbers of the strokes."""
    box: int
    """The number of the box that the ink lies in; 0 for none."""
    inked: float
    """When the ink last changed, in seconds on the clock of the events."""
