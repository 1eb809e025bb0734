"""The settings of a pen: `PenOpen`, checked, with every length in the pen's counts."""

import math
from dataclasses import dataclass

from inkstream.v1 import ink_pb2

from inkstream_server.ink import tap_size
from inkstream_server.limits.memory_book import Account
from inkstream_server.pens.boxes import Box, Boxes
from inkstream_server.pens.faults import InkFault
from inkstream_server.pens.limits import PenLimits
from inkstream_server.wire.answer_options import AnswerOptions, read_options

_UNITS = {ink_pb2.UNIT_MILLIMETRE: "mm", ink_pb2.UNIT_PIXEL: "px"}


FARTHEST = 1e30
"""Greatest coordinate of a box, in counts. No device measures beyond."""


@dataclass(frozen=True, slots=True)
class QuietTimes:
    """Seconds without ink after which a glyph is final; docs/ink.md says why these."""

    usual: float = 0.6
    """For digits that often get another stroke."""
    short: float = 0.25
    """For digits that rarely do; at most `usual`."""


@dataclass(frozen=True, slots=True)
class PenSettings:
    """The settings in `PenOpen`, with defaults filled in."""

    y_up: bool
    """Whether y grows upwards."""
    tap: float
    """Longest side of a mere tap, in counts; 0 where the size of a count is unknown."""
    boxes: Boxes | None
    quiet: QuietTimes
    interim_seconds: float
    """Least time between two interim answers; 0 for none at all."""
    answers: AnswerOptions
    """The fields that answers to the pen's glyphs have."""


def read_settings(
    open_: ink_pb2.PenOpen, default: QuietTimes, limits: PenLimits, account: Account
) -> PenSettings:
    """Check a pen's opening.

    Args:
        open_: as it came.
        default: quiet times where the pen chooses none.
        limits: the server's.
        account: counts the boxes.

    Raises:
        InkFault: a field is not as expected; names the first one.
    """
    counts = open_.counts_per_unit or 1.0
    if not (math.isfinite(counts) and 1e-9 <= counts <= 1e9):
        wrong = f"expected a number from 1e-9 to 1e9, got {counts:g}"
        raise InkFault("open.counts_per_unit", wrong)
    if open_.unit not in ink_pb2.Unit.values():
        raise InkFault("open.unit", f"expected a Unit, got {open_.unit}")
    if open_.y_direction not in ink_pb2.YDirection.values():
        raise InkFault("open.y_direction", f"expected a YDirection, got {open_.y_direction}")
    if open_.HasField("area"):
        _require_area(open_.area, "open.area")
    if open_.answers.top_k > 10:
        raise InkFault("open.answers.top_k", f"expected 0 to 10, got {open_.answers.top_k}")
    interims, most = open_.interims_per_second, limits.interims_per_second
    if interims > most:
        raise InkFault("open.interims_per_second", f"expected at most {most}, got {interims}")
    return PenSettings(
        y_up=open_.y_direction == ink_pb2.Y_DIRECTION_UP,
        tap=tap_size(_UNITS.get(open_.unit), max(open_.area.width, open_.area.height)) * counts,
        boxes=_boxes(open_, counts, limits, account),
        quiet=_quiet(open_, default, limits),
        interim_seconds=1 / interims if interims else 0.0,
        answers=read_options(open_.answers),
    )


def _quiet(open_: ink_pb2.PenOpen, default: QuietTimes, limits: PenLimits) -> QuietTimes:
    """Give a pen's quiet times. If it chooses only the usual one, that one holds for every digit."""
    most_ms = round(limits.quiet_seconds * 1000)
    for field in ("quiet_ms", "short_quiet_ms"):
        wanted_ms = getattr(open_, field)
        if wanted_ms > most_ms:
            raise InkFault(f"open.{field}", f"expected at most {most_ms} ms, got {wanted_ms}")
    usual = open_.quiet_ms / 1000 or default.usual
    short = open_.short_quiet_ms / 1000 or (usual if open_.quiet_ms else default.short)
    if short > usual:
        most = f"at most the quiet time of {usual * 1000:.0f} ms"
        wrong = f"expected {most}, got {open_.short_quiet_ms}; set quiet_ms to as much"
        raise InkFault("open.short_quiet_ms", wrong)
    return QuietTimes(usual, short)


def _boxes(
    open_: ink_pb2.PenOpen, counts: float, limits: PenLimits, account: Account
) -> Boxes | None:
    if len(open_.boxes) > limits.boxes:
        raise InkFault("open.boxes", f"expected at most {limits.boxes}, got {len(open_.boxes)}")
    boxes = []
    seen: set[int] = set()
    for given in open_.boxes:
        if not given.box or given.box in seen:
            wrong = f"expected a number that is not 0 and no other box has, got {given.box}"
            raise InkFault("open.boxes.box", wrong)
        seen.add(given.box)
        _require_area(given.area, "open.boxes.area")
        area = given.area
        sides = (area.x, area.y, area.x + area.width, area.y + area.height)
        if not max(map(abs, sides)) * counts <= FARTHEST:
            wrong = f"expected sides within {FARTHEST:g} counts, got {max(map(abs, sides)):g} units"
            raise InkFault("open.boxes.area", wrong)
        boxes.append(Box(given.box, *(side * counts for side in sides)))
    return Boxes(boxes, account) if boxes else None


def _require_area(area: ink_pb2.Area, field: str) -> None:
    sides = (area.x, area.y, area.width, area.height)
    if not all(map(math.isfinite, sides)) or area.width <= 0 or area.height <= 0:
        got = f"x {area.x:g}, y {area.y:g}, {area.width:g} by {area.height:g}"
        raise InkFault(field, f"expected finite numbers and an extent above 0, got {got}")
