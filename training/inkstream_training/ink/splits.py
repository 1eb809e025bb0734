"""Decides which writers are held out, by rules on a writer's name alone.

The split is by writer, not by glyph, because one writer's digits look alike. The rules were fixed before
the first model was trained. They do not depend on the data, so a writer keeps its part when files grow.
"""

from __future__ import annotations

import hashlib
from typing import Literal

__all__ = ["RULES", "Part", "part_of"]

Part = Literal["training", "validation", "test"]
"""Training; validation, which chooses epochs, mixture, temperature, thresholds and seed; test, used once."""

RULES: dict[str, str] = {
    "pendigits": "by number: multiples of 5 are test, numbers that end in 3 validation",
    "unipen": (
        "by sha256 of 'contrib/writer' as a fraction of 1: below 0.2 test, below 0.33 validation; "
        "digits, letters and symbols alike"
    ),
    "uji": "by number: multiples of 5 are test, numbers that end in 3 validation",
}
"""Description of each source's rule."""


def part_of(source: str, writer: str) -> Part:
    """Give the part of a writer and all its glyphs.

    Args:
        source: a key of `RULES`.
        writer: "12" (pendigits), "contrib/writer" (unipen), "W05" (uji).

    Raises:
        ValueError: the source is unknown, or the writer has no number although the rule needs one.
    """
    if source == "unipen":
        share = int(hashlib.sha256(writer.encode()).hexdigest()[:8], 16) / 16**8
        return "test" if share < 0.2 else "validation" if share < 0.33 else "training"
    if source not in RULES:
        raise ValueError(f"source: expected one of {', '.join(RULES)}, got {source!r}")
    digits = writer.removeprefix("W")
    if not digits.isdecimal():
        raise ValueError(f"{source}: expected a writer's number, got {writer!r}")
    number = int(digits)
    return "test" if number % 5 == 0 else "validation" if number % 10 == 3 else "training"
