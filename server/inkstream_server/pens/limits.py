"""Limits on what pens may ask of the server. Each has an error of its own that names it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PenLimits:
    """Bounds on the state of pens. The defaults lie far above what writing needs."""

    pens: int = 4096
    """Pens open on one stream."""
    points_per_stream: int = 1_000_000
    """Points in all open glyphs of a stream, 8 bytes each. A class of 30 pupils holds about 2,000."""
    points_per_glyph: int = 4096
    """Points of one glyph, all strokes together: 40 s at 100 points a second. None of 20,657 real digits
    (pendigits, UNIPEN, UJI) has more than 693."""
    strokes_per_glyph: int = 64
    """Strokes of one glyph; digits have at most 5 (UNIPEN)."""
    glyph_seconds: float = 120.0
    """How long a glyph may stay open, whatever its pen does."""
    quiet_seconds: float = 60.0
    """Longest quiet time that a pen may ask for."""
    interims_per_second: int = 60
    """Most interim answers that a pen may ask for."""
    boxes: int = 256
    """Boxes of one pen."""
    remembered_strokes: int = 1024
    """Strokes with a final answer that a pen remembers, so that it refuses to erase or repeat them."""
    remembered_by_stream: int = 65_536
    """The same for all pens of a stream, which share them evenly."""
