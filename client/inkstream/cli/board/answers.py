"""Makes the JSON that pages get: results, errors and the server's state. Knows neither HTTP nor pens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from inkstream import GlyphResult, InkstreamError

SERVER_READY = {"state": "ready"}
"""The message that the server answers."""


def answer(result: GlyphResult, strokes: Mapping[int, int]) -> dict[str, Any]:
    """Give the message for a result.

    `strokes` has the page's number of each stroke, by the pen's number; forgotten strokes are missing.
    """
    return {
        "glyph": result.glyph,
        "state": str(result.state),
        "digit": result.digit if result.model else None,
        "confidence": round(result.confidence, 4),
        "alternatives": [[digit, round(share, 4)] for digit, share in result.alternatives],
        "word": str(result.reason or "rejected") if result.rejected else None,
        "strokes": _known(result.strokes, strokes),
    }


def trouble(error: InkstreamError, strokes: Mapping[int, int]) -> dict[str, Any]:
    """Give the message for an error; the user has to write its strokes again."""
    return {"message": str(error), "strokes": _known(getattr(error, "strokes", ()), strokes)}


def server_gone(error: InkstreamError | None) -> dict[str, Any]:
    """Give the message that the server does not answer."""
    return {"state": "gone", "why": str(error or "")}


def _known(numbers: Iterable[int], strokes: Mapping[int, int]) -> list[int]:
    """Give the page's numbers of strokes; another thread may forget some meanwhile."""
    return [known for each in numbers if (known := strokes.get(each)) is not None]
