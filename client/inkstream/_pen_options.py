"""How a pen's coordinates are read and what it asks for, as values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from inkstream._exceptions import InvalidRequest
from inkstream.ink import YDirection
from inkstream.v1 import ink_pb2

Rectangle: TypeAlias = tuple[float, float, float, float]
"""x and y of the corner with the smallest of both, width, height; in units."""
Boxes: TypeAlias = Mapping[int, Rectangle] | Sequence[Rectangle]
"""Places for one digit each, by numbers from 1 on or numbered in order."""

_UNITS = {
    "px": ink_pb2.UNIT_PIXEL,
    "mm": ink_pb2.UNIT_MILLIMETRE,
    None: ink_pb2.UNIT_UNSPECIFIED,
}
_COUNTS_PER_UNIT = {"px": 16.0, "mm": 100.0, None: 16.0}
"""Finer than any device; a digit of 10 px still has 160 counts."""
_DIRECTIONS = {"down": ink_pb2.Y_DIRECTION_DOWN, "up": ink_pb2.Y_DIRECTION_UP}


@dataclass(frozen=True, slots=True, kw_only=True)
class PenOptions:
    """Everything that a pen was told when it was made. See `Client.pen`."""

    y: YDirection = "down"
    units: Literal["px", "mm"] | None = None
    counts_per_unit: float | None = None
    area: Rectangle | None = None
    boxes: Boxes = ()
    quiet_ms: int | None = None
    short_quiet_ms: int | None = None
    interims_per_second: int = 0
    alternatives: int = 3
    timings: bool = False

    def __post_init__(self) -> None:
        if self.y not in _DIRECTIONS:
            raise InvalidRequest(f'y: expected "up" or "down", got {self.y!r}')
        if self.units not in _UNITS:
            raise InvalidRequest(f'units: expected "px", "mm" or None, got {self.units!r}')
        if not 1e-9 <= self.counts <= 1e9:
            raise InvalidRequest(
                f"counts_per_unit: expected from 1e-9 to 1e9, got {self.counts_per_unit}"
            )
        for name in ("quiet_ms", "short_quiet_ms"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= 60_000:
                raise InvalidRequest(f"{name}: expected 1 to 60000 milliseconds, got {value}")
        if not 0 <= self.interims_per_second <= 60:
            raise InvalidRequest(
                f"interims_per_second: expected 0 to 60, got {self.interims_per_second}"
            )
        if not 0 <= self.alternatives <= 10:
            raise InvalidRequest(f"alternatives: expected 0 to 10, got {self.alternatives}")
        self.opening()

    @property
    def counts(self) -> float:
        """Counts of the wire in one unit."""
        if self.counts_per_unit is None:
            return _COUNTS_PER_UNIT[self.units]
        return self.counts_per_unit

    def opening(self) -> ink_pb2.PenOpen:
        """What opens the pen on a stream.

        Raises:
            InvalidRequest: the area or a box is no rectangle.
        """
        opening = ink_pb2.PenOpen(
            unit=_UNITS[self.units],
            counts_per_unit=self.counts,
            y_direction=_DIRECTIONS[self.y],
            quiet_ms=self.quiet_ms or 0,
            short_quiet_ms=self.short_quiet_ms or 0,
            interims_per_second=self.interims_per_second,
        )
        opening.answers.top_k = self.alternatives
        opening.answers.timings = self.timings
        if self.area is not None:
            opening.area.CopyFrom(_area("area", self.area))
        boxes = self.boxes
        numbered = boxes.items() if isinstance(boxes, Mapping) else enumerate(boxes, 1)
        for number, rectangle in numbered:
            if not (isinstance(number, int) and 0 < number < 1 << 32):
                raise InvalidRequest(f"boxes: expected numbers from 1 on, got {number!r}")
            opening.boxes.add(box=number, area=_area(f"boxes[{number}]", rectangle))
        return opening


def _area(name: str, rectangle: Rectangle) -> ink_pb2.Area:
    try:
        x, y, width, height = map(float, rectangle)
    except (TypeError, ValueError):
        raise InvalidRequest(
            f"{name}: expected four numbers x, y, width, height, got {rectangle!r}"
        ) from None
    if not all(map(math.isfinite, (x, y, width, height))) or width <= 0 or height <= 0:
        raise InvalidRequest(
            f"{name}: expected finite numbers and an extent above 0, got {rectangle!r}"
        )
    return ink_pb2.Area(x=x, y=y, width=width, height=height)
