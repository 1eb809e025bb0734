"""The rules by which strokes become glyphs: when a pause, a box or a place begins another digit.

Pure functions of ink and times; when they are asked is `pen`'s affair.
"""

import math

from inkstream_server.ink.strays import SPECK
from inkstream_server.pens.settings import Box, QuietTimes
from inkstream_server.pens.strokes import Glyph, Stroke

RARELY_CONTINUED = frozenset({0, 2, 3, 6, 8, 9})
"""Less than 4 % of these digits have another stroke, against 50 to 80 % of 4, 5 and 7
(pendigits and UNIPEN; reference/ink.md, section 3)."""

GAP = 0.3
"""A stroke that keeps this share of the glyph's size to the right of all its ink begins another one.

Later strokes of one digit do so in 0 of 1,939 cases (pendigits), 0.3 % of 3,212 (UNIPEN) and 0 of 138
(UJI); the next digit of a string does in 68 % of 1,459 (UNIPEN strings). The whole stroke is asked, not
where it begins: that would tear 1.4 to 5.5 % of the digits apart. Measured once, here and below, by running
the data through `Pen` at its own speed; no command repeats it."""

AWAY_SECONDS = 0.25
"""A stroke that has kept to the right for so long is told to begin another glyph before it ends.

This tears one more of the 3,212 apart, and none of the others; strokes of a bar that begins to the right are
back by then. In strings it tells 73 % of the next digits, most of them halfway through their first stroke. At
50 ms it would tear 1.5 % (UNIPEN)."""

OVERSHOOT = 0.25
"""A stroke that begins beside all boxes, but within this share of a box's shorter side, is taken for that
box's: writers begin above the line. Elsewhere a stroke belongs to no box."""


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


def box_at(boxes: tuple[Box, ...], x: float, y: float, current: int | None = None) -> int:
    """Give the number of the box that a stroke which begins at (x, y) belongs to; 0 for none.

    Args:
        boxes: the pen's.
        x: in counts.
        y: in counts.
        current: the box of the open glyph, which comes first among those that the stroke hardly misses.
    """
    near: list[tuple[bool, float, int]] = []
    for box in boxes:
        across = max(box.left - x, x - box.right, 0.0)
        along = max(box.top - y, y - box.bottom, 0.0)
        distance = math.hypot(across, along)
        if not distance:
            return box.number
        if distance <= OVERSHOOT * min(box.right - box.left, box.bottom - box.top):
            near.append((box.number != current, distance, box.number))
    return min(near)[2] if near else 0


def is_beyond(glyph: Glyph, stroke: Stroke) -> bool:
    """Whether a stroke lies to the right of all ink of a glyph, as far as both are drawn."""
    extent = glyph.extent
    if extent is None or not extent.size:
        return False
    return stroke.extent.left > extent.right + GAP * max(extent.size, stroke.extent.size)


def is_speck(glyph: Glyph, stroke: Stroke) -> bool:
    """Whether a stroke is a tap or a stray dot beside a glyph, as far as both are drawn."""
    extent = glyph.extent
    return extent is not None and stroke.extent.size < SPECK * extent.size


def begins_another(
    times: QuietTimes, glyph: Glyph, stroke: Stroke, box: int, *, now: float, is_up: bool
) -> bool | None:
    """Tell whether a stroke begins another glyph than the one that is open; None where it is too early to.

    Args:
        times: the pen's quiet times.
        glyph: the one that is open.
        stroke: with a point at least.
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
        # A tap beside a digit must not end it; every stroke begins as one.
        return False if is_up else None
    if glyph.box or is_up or stroke.lasted(now) >= AWAY_SECONDS:
        return True
    return None
