"""The rules that turn strokes into glyphs: when a pause, a box or a place begins another digit.

Pure functions of ink and times; `pen` calls them. docs/ink.md has the measurements behind the constants.
"""

from inkstream_server.ink.strays import SPECK
from inkstream_server.pens.settings import QuietTimes
from inkstream_server.pens.strokes import Glyph, Stroke

RARELY_CONTINUED = frozenset({0, 2, 3, 6, 8, 9})
"""Less than 4 % of these digits have another stroke, against 50 to 80 % of 4, 5 and 7."""

GAP = 0.3
"""A stroke begins another glyph if it keeps this share of the glyph's size to the right of all its ink.

All points of the stroke count: its first point alone would tear more digits apart."""

AWAY_SECONDS = 0.25
"""A stroke that has kept to the right for this long begins another glyph before it ends.

A bar that begins to the right, as of a 5, is back by then."""


def quiet_seconds(times: QuietTimes, digit: int | None) -> float:
    """How long to wait for another stroke.

    Args:
        times: the pen's quiet times.
        digit: the digit that the glyph looks like now; None where that is unknown or unsure.
    """
    return times.short if digit in RARELY_CONTINUED else times.usual


def has_paused(times: QuietTimes, ended_ms: int, began_ms: int) -> bool:
    """Whether the quiet time has passed between two strokes on the caller's own clock.

    Packets that were held up arrive all at once, so that the server's clock shows no pause between them.

    Args:
        times: the pen's quiet times.
        ended_ms: when the earlier stroke ended; 0 where unknown.
        began_ms: when the later stroke began; 0 where unknown.
    """
    return bool(ended_ms and began_ms) and began_ms - ended_ms >= times.usual * 1000


def is_beyond(glyph: Glyph, stroke: Stroke) -> bool:
    """Whether a stroke lies clearly to the right of a glyph, as far as both are drawn."""
    extent = glyph.extent
    if extent is None or not extent.size:
        return False
    return stroke.extent.left > extent.right + GAP * max(extent.size, stroke.size)


def is_speck(glyph: Glyph, stroke: Stroke) -> bool:
    """Whether a stroke is a tap or a stray dot beside a glyph, as far as both are drawn."""
    extent = glyph.extent
    return extent is not None and stroke.size < SPECK * extent.size


def lies_away(glyph: Glyph, stroke: Stroke) -> bool:
    """Whether an undecided stroke will begin another glyph unless it comes back."""
    return len(stroke) > 0 and is_beyond(glyph, stroke) and not is_speck(glyph, stroke)


def begins_another(
    times: QuietTimes, glyph: Glyph, stroke: Stroke, box: int, *, now: float, is_up: bool
) -> bool | None:
    """Whether a stroke begins another glyph than the open one; None where it is too early to say.

    Args:
        times: the pen's quiet times.
        glyph: the open glyph.
        stroke: has at least one point.
        box: the box that the stroke belongs to; 0 for none.
        now: the time, in seconds.
        is_up: whether the stroke has ended.
    """
    last = next(reversed(glyph.strokes.values()), None)
    if has_paused(times, last.ends_ms if last else 0, stroke.began_ms):
        return True
    if glyph.box is None:
        return False  # It has no ink.
    if box:
        return box != glyph.box
    if not glyph.box and not is_beyond(glyph, stroke):
        return False
    if is_speck(glyph, stroke):
        # A tap beside a digit must not end it, and every stroke begins as a tap.
        return False if is_up else None
    if glyph.box or is_up or stroke.lasted(now) >= AWAY_SECONDS:
        return True
    return None
