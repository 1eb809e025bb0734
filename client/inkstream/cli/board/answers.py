"""What a page is told: results, troubles and the server's state as JSON. Pure: knows no HTTP and no pens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from inkstream import GlyphResult, InkstreamError, RejectReason

_WORDS = {
    RejectReason.NO_INK: "no ink",
    RejectReason.NOT_A_DIGIT: "not a digit",
    RejectReason.UNSURE: "unsure",
}
_ANOTHER_REASON = "not to be trusted"
"""For a server that knows more reasons than this client."""


def answer(result: GlyphResult, strokes: Mapping[int, int]) -> dict[str, Any]:
    """An answer to one digit.

    Args:
        result: the answer.
        strokes: the page's number of each stroke of the pen; what is not there was forgotten.
    """
    word = _WORDS.get(result.reason, _ANOTHER_REASON) if result.reason else None
    if result.rejected and word is None:
        word = _ANOTHER_REASON
    return {
        "glyph": result.glyph,
        "state": str(result.state),
        "digit": result.digit if result.model else None,
        "confidence": round(result.confidence, 4),
        "alternatives": [[digit, round(share, 4)] for digit, share in result.alternatives],
        "word": word,
        "strokes": _known(result.strokes, strokes),
    }


def trouble(error: InkstreamError, strokes: Mapping[int, int]) -> dict[str, Any]:
    """Something that gets no answer; its strokes are to be written again."""
    return {"message": str(error), "strokes": _known(getattr(error, "strokes", ()), strokes)}


def server_here() -> dict[str, Any]:
    """The server answers."""
    return {"state": "ready"}


def server_gone(error: InkstreamError | None) -> dict[str, Any]:
    """The server does not answer."""
    return {"state": "gone", "why": str(error or "")}


def _known(numbers: Iterable[int], strokes: Mapping[int, int]) -> list[int]:
    """The page's numbers; another thread may forget some meanwhile."""
    return [known for each in numbers if (known := strokes.get(each)) is not None]
