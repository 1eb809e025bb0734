"""From the kernel's input events to what the pen did; knows no device and no clock.

Events are (time, type, code, value), as Documentation/input/event-codes.rst describes them: one sample
a SYN_REPORT, values only when they change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from inkstream.ink import Stroke, Units
from inkstream.tablet import _codes

#: Shares of the pressure range at which libinput takes a tip for down, and for up again.
DOWN, UP = 0.05, 0.01


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a tablet, as its AbsInfo describes it.

    Attributes:
        low: least count.
        high: greatest count.
        per_mm: counts a millimetre, 0 where the driver does not know.
        value: where the axis stands at the beginning; events come only when it changes.
    """

    low: int
    high: int
    per_mm: int = 0
    value: int = 0


@dataclass(frozen=True, slots=True)
class Layout:
    """What a tablet can tell.

    Attributes:
        x: to the right.
        y: downwards.
        pressure: of the tip; None where there is none, then BTN_TOUCH says when the tip is down.
        tells_proximity: whether it reports that a pen is near (BTN_TOOL_PEN).
        keys: the keys that are held at the beginning.
    """

    x: Axis
    y: Axis
    pressure: Axis | None = None
    tells_proximity: bool = True
    keys: frozenset[int] = frozenset()

    @property
    def units(self) -> Units:
        """What the events' coordinates count."""
        return "mm" if self.x.per_mm and self.y.per_mm else "count"

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the area that can be written on, in `units`."""
        x, y = self.x, self.y
        return _placed(x.high, x, self.units), _placed(y.high, y, self.units)


@dataclass(frozen=True, slots=True)
class PenEvent:
    """The tip touched, moved or lifted.

    Attributes:
        kind: which of these.
        x: to the right from the left edge, in the layout's units.
        y: downwards from the upper edge, likewise. Of a tip that lifted both are its last.
        t_ms: milliseconds on the clock of the events.
        pressure: 0 to 1, None where the tablet has none.
        is_eraser: whether it is the pen's other end.
    """

    kind: Literal["down", "move", "up"]
    x: float
    y: float
    t_ms: float
    pressure: float | None = None
    is_eraser: bool = False


class Decoder:
    """Turns input events into pen events; knows no device and no clock.

    The tip is down by pressure, with hysteresis, because some tablets set BTN_TOUCH when the pen is only
    near. Where events were lost (SYN_DROPPED) what follows is discarded up to the next SYN_REPORT, and
    an open stroke ends: better one stroke in two than a line where the pen was up.

    Attributes:
        is_stale: whether events were lost since the state was last known; `resync` mends it.
    """

    def __init__(self, layout: Layout) -> None:
        """Begin with what the layout says."""
        self.layout = layout
        self.is_stale = False
        self._dropping = False
        self._last: PenEvent | None = None
        self._keys: set[int] = set()
        self._axes: dict[int, int] = {}
        pressure = layout.pressure.value if layout.pressure else 0
        self.resync(layout.x.value, layout.y.value, pressure, layout.keys)

    def resync(self, x: int, y: int, pressure: int, keys: Collection[int]) -> None:
        """Take the state that the device was asked for, after it has lost events.

        Args:
            x: the axis' count, as of `pressure` and `y`.
            y: likewise.
            pressure: likewise, anything where the tablet has none.
            keys: codes of the keys that are held.
        """
        self._axes = {_codes.ABS_X: x, _codes.ABS_Y: y, _codes.ABS_PRESSURE: pressure}
        self._keys = set(keys)
        self.is_stale = False

    def feed(self, time: float, kind: int, code: int, value: int) -> list[PenEvent]:
        """Take one input event.

        Args:
            time: seconds on any clock.
            kind: EV_SYN, EV_KEY, EV_ABS or another, which is passed over.
            code: what changed.
            value: to what.

        Returns: what the pen did; at most two events, and none before a SYN_REPORT.
        """
        if kind == _codes.EV_SYN and code == _codes.SYN_DROPPED:
            self._dropping = True
        elif kind == _codes.EV_SYN and code == _codes.SYN_REPORT:
            return self._dropped(time) if self._dropping else self._report(time)
        elif self._dropping:
            pass
        elif kind == _codes.EV_ABS and code in self._axes:
            self._axes[code] = value
        elif kind == _codes.EV_KEY and value:
            self._keys.add(code)
        elif kind == _codes.EV_KEY:
            self._keys.discard(code)
        return []

    def _dropped(self, time: float) -> list[PenEvent]:
        """The first report after a loss."""
        self._dropping = False
        self.is_stale = True
        # Until it is heard of again, the tip counts as up.
        self._lift()
        return self._end(time)

    def _lift(self) -> None:
        self._axes[_codes.ABS_PRESSURE] = self.layout.pressure.low if self.layout.pressure else 0
        self._keys.discard(_codes.BTN_TOUCH)

    def _report(self, time: float) -> list[PenEvent]:
        """What happened, now that a sample is complete."""
        is_near = not self.layout.tells_proximity or bool(
            self._keys & {_codes.BTN_TOOL_PEN, _codes.BTN_TOOL_RUBBER}
        )
        if not is_near:
            # Its next touch is a new one, even if the tablet forgets to say that this one ended.
            self._lift()
        pressure = self._pressure()
        if not is_near or not self._is_down(pressure):
            return self._end(time)
        is_eraser = _codes.BTN_TOOL_RUBBER in self._keys
        ended = self._end(time) if self._last and self._last.is_eraser != is_eraser else []
        x = _placed(self._axes[_codes.ABS_X], self.layout.x, self.layout.units)
        y = _placed(self._axes[_codes.ABS_Y], self.layout.y, self.layout.units)
        last = self._last
        if last and (last.x, last.y, last.pressure) == (x, y, pressure):
            return ended
        self._last = PenEvent(
            "move" if last else "down", x, y, time * 1000, pressure, is_eraser=is_eraser
        )
        return [*ended, self._last]

    def _end(self, time: float) -> list[PenEvent]:
        last, self._last = self._last, None
        if last is None:
            return []
        return [
            PenEvent("up", last.x, last.y, time * 1000, last.pressure, is_eraser=last.is_eraser)
        ]

    def _pressure(self) -> float | None:
        axis = self.layout.pressure
        if axis is None:
            return None
        share = (self._axes[_codes.ABS_PRESSURE] - axis.low) / max(axis.high - axis.low, 1)
        return min(max(share, 0.0), 1.0)

    def _is_down(self, pressure: float | None) -> bool:
        if pressure is None:
            return _codes.BTN_TOUCH in self._keys
        return pressure > (UP if self._last else DOWN)


def decode(events: Iterable[tuple[float, int, int, int]], layout: Layout) -> Iterator[PenEvent]:
    """Decode recorded events.

    Args:
        events: (time in seconds, type, code, value), as evtest and evemu record them.
        layout: of the tablet that they come from.
    """
    decoder = Decoder(layout)
    for event in events:
        yield from decoder.feed(*event)


def strokes_of(events: Iterable[PenEvent]) -> Iterator[Stroke]:
    """Gather what the pen drew, a stroke whenever it is complete; the eraser draws none."""
    points: list[PenEvent] = []
    for event in events:
        if event.is_eraser:
            continue
        if event.kind != "up":
            points.append(event)
        elif points:
            pressures = [point.pressure for point in points if point.pressure is not None]
            table = [(point.x, point.y, point.t_ms) for point in points]
            stroke = Stroke.of(table)
            yield replace(stroke, pressure=np.array(pressures)) if pressures else stroke
            points = []


def _placed(count: int, axis: Axis, units: Units) -> float:
    return (count - axis.low) / (axis.per_mm if units == "mm" else 1)
