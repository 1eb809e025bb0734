"""The rules by which strokes become glyphs: when a pause, a box or a place begins another digit.

Pure functions of figures; when they are asked is `pen`'s affair.
"""

from inkstream_server.pens.settings import Box, QuietTimes

RARELY_CONTINUED = frozenset({0, 2, 3, 6, 8, 9})
"""Less than 4 % of these digits have another stroke, against 50 to 80 % of 4, 5 and 7
(pendigits and UNIPEN; reference/ink.md, section 3)."""

GAP = 0.3
"""A stroke that keeps this share of the glyph's size to the right of all its ink begins another one.

Later strokes of one digit do so in 0 of 1,939 cases (pendigits), 0.5 % of 3,212 (UNIPEN) and 0 of 138
(UJI); the next digit of a string does in 70 % of 1,459 (UNIPEN strings). The whole stroke is asked, not
where it begins: that would tear 1.4 to 5.6 % of the digits apart."""


def quiet_seconds(times: QuietTimes, digit: int | None) -> float:
    """How long to wait for another stroke.

    Args:
        times: the pen's quiet times.
        digit: what the glyph is taken for as it stands; None where that is unknown or unsure.
    """
    return times.short if digit in RARELY_CONTINUED else times.usual


def has_paused(times: QuietTimes, ended_ms: int, began_ms: int) -> bool:
    """Tell from the caller's own clock that the quiet time has passed between two strokes.

    Packets that were held up arrive all at once: what lies between them only the caller's clock knows.

    Args:
        times: the pen's quiet times.
        ended_ms: when the stroke before ended; 0 where unknown.
        began_ms: when the new one began; 0 where unknown.
    """
    return bool(ended_ms and began_ms) and began_ms - ended_ms >= times.usual * 1000


def right_limit(right: float, size: float) -> float:
    """The x beyond which ink lies clearly to the right of a glyph.

    Args:
        right: greatest x of the glyph's ink.
        size: longest side of the glyph or of the new stroke, whichever is longer.
    """
    return right + GAP * size


def box_at(boxes: tuple[Box, ...], x: float, y: float) -> int:
    """Give the number of the box that a stroke which begins at (x, y) belongs to; 0 for none."""
    for box in boxes:
        if box.left <= x <= box.right and box.top <= y <= box.bottom:
            return box.number
    return 0


def is_other_box(current: int, claimed: int) -> bool:
    """Whether a stroke claims another box than the glyph has. Ink beside all boxes claims none."""
    return bool(current and claimed) and current != claimed
