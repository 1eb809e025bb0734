"""The options of a pen, checked, and the message that opens it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from inkstream._exceptions import InkstreamError, InvalidRequest
from inkstream._options.checks import require_number
from inkstream._results.glyphs import GlyphResult
from inkstream.ink import YDirection
from inkstream.v1 import ink_pb2

Rectangle: TypeAlias = tuple[float, float, float, float]
"""x, y, width and height in units; x and y are those of the corner where both are smallest."""
Boxes: TypeAlias = Mapping[int, Rectangle] | Sequence[Rectangle]
"""Areas for one digit each: `{7: (0, 0, 40, 60)}` by number, or `[(0, 0, 40, 60), (50, 0, 40, 60)]` in
order, numbered from 1."""
OnResult: TypeAlias = Callable[[GlyphResult | InkstreamError], object]
"""Called with every result and every error of a pen."""

_UNITS = {
    "px": (ink_pb2.UNIT_PIXEL, 16.0),
    "mm": (ink_pb2.UNIT_MILLIMETRE, 100.0),
    None: (ink_pb2.UNIT_UNSPECIFIED, 16.0),
}
"""On the wire, and the default of `counts_per_unit`: finer than any device resolves."""
_DIRECTIONS = {"down": ink_pb2.Y_DIRECTION_DOWN, "up": ink_pb2.Y_DIRECTION_UP}


@dataclass(frozen=True, slots=True, kw_only=True)
class PenOptions:
    # `Client.pen` explains the options; an editor would show a docstring of this class instead.

    y: YDirection = "down"
    units: Literal["px", "mm"] | None = None
    counts_per_unit: float | None = None
    area: Rectangle | None = None
    boxes: Boxes = ()
    quiet_ms: int | None = None
    short_quiet_ms: int | None = None
    interims_per_second: int = 0
    alternatives: int = 3
    on_result: OnResult | None = None

    def __post_init__(self) -> None:
        if self.y not in [*_DIRECTIONS]:
            raise InvalidRequest(f'y: expected "up" or "down", got {self.y!r}')
        if self.units not in [*_UNITS]:
            raise InvalidRequest(f'units: expected "px", "mm" or None, got {self.units!r}')
        if self.counts_per_unit is not None:
            require_number("counts_per_unit", self.counts_per_unit, 1e-9, 1e9)
        for name in ("quiet_ms", "short_quiet_ms"):
            value = getattr(self, name)
            if value is not None:
                require_number(name, value, 1, 60_000, " milliseconds", whole=True)
        if self.quiet_ms and self.short_quiet_ms and self.short_quiet_ms > self.quiet_ms:
            raise InvalidRequest(
                f"short_quiet_ms: expected at most quiet_ms ({self.quiet_ms}), got {self.short_quiet_ms}"
            )
        require_number("interims_per_second", self.interims_per_second, 0, 60, whole=True)
        require_number("alternatives", self.alternatives, 0, 10, whole=True)
        if self.on_result is not None and not callable(self.on_result):
            raise InvalidRequest(f"on_result: expected a function or None, got {self.on_result!r}")
        self.opening(timings=False)

    def opening(self, *, timings: bool) -> ink_pb2.PenOpen:
        """Give the message that opens the pen on a stream.

        Args:
            timings: whether results carry the time that they waited and were computed.

        Raises:
            InvalidRequest: the area or a box is no rectangle, or the number of a box is out of range.
        """
        unit, counts_per_unit = _UNITS[self.units]
        opening = ink_pb2.PenOpen(
            unit=unit,
            counts_per_unit=self.counts_per_unit or counts_per_unit,
            y_direction=_DIRECTIONS[self.y],
            quiet_ms=self.quiet_ms or 0,
            short_quiet_ms=self.short_quiet_ms or 0,
            interims_per_second=self.interims_per_second,
        )
        opening.answers.top_k = self.alternatives
        opening.answers.timings = timings
        if self.area is not None:
            opening.area.CopyFrom(_area("area", self.area))
        boxes = self.boxes
        if not isinstance(boxes, Mapping) and not hasattr(boxes, "__getitem__"):
            raise InvalidRequest(
                f"boxes: expected a sequence of rectangles, or rectangles by number, got {boxes!r}"
            )
        numbered = boxes.items() if isinstance(boxes, Mapping) else enumerate(boxes, 1)
        for number, rectangle in numbered:
            require_number("boxes", number, 1, (1 << 32) - 1, " for each", whole=True)
            opening.boxes.add(box=number, area=_area(f"boxes[{number}]", rectangle))
        return opening


def _area(name: str, rectangle: Rectangle) -> ink_pb2.Area:
    try:
        x, y, width, height = map(float, rectangle)
    except (TypeError, ValueError, OverflowError):
        raise InvalidRequest(
            f"{name}: expected four numbers x, y, width, height, got {rectangle!r}"
        ) from None
    if not all(map(math.isfinite, (x, y, width, height))) or width <= 0 or height <= 0:
        raise InvalidRequest(
            f"{name}: expected finite numbers and an extent above 0, got {rectangle!r}"
        )
    return ink_pb2.Area(x=x, y=y, width=width, height=height)
