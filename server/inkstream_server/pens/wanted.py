"""The answers that a pen requests for its glyphs."""

from dataclasses import dataclass
from typing import Literal

from inkstream_server.pens.strokes import Glyph, Sketch

State = Literal["interim", "provisional", "final", "dropped"]
"""The state of the requested answer; "dropped" after a clear, which gets none."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A requested answer to a glyph, with its ink at that time."""

    glyph: Glyph
    state: State
    edition: int
    """Which of the glyph's editions the ink is."""
    sketch: Sketch
    strokes: tuple[int, ...]
    """The caller's numbers of the strokes."""
    box: int
    """The number of the box that the ink lies in; 0 for none."""
    inked: float
    """When the ink last changed, in seconds on the clock of the events."""
