"""How large a file of ink may be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what a reader takes from one file; beyond any of them it raises InvalidInk.

    Memory stays within a small multiple of `line_bytes` and the ink that is being read, whatever the size
    of the file and its compression.

    Attributes:
        file_bytes: bytes of the file after gunzip.
        line_bytes: bytes of a line; of a trace's text in InkML.
        blank_lines: blank lines of a file of UNIPEN or JSON Lines after its first ink or keyword.
        strokes: strokes of one ink.
        points: points of one stroke.
    """

    file_bytes: int = 256 << 20
    line_bytes: int = 4 << 20
    blank_lines: int = 1_000_000
    strokes: int = 1_000
    points: int = 100_000
