"""Turns the kernel's input events into pen events; knows no device and no clock.

Events are (time, type, code, value), as Documentation/input/event-codes.rst describes them: each SYN_REPORT
ends a sample, and a value comes only when it changes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from inkstream.ink import Stroke, Units
from inkstream.tablet import _codes

#: Shares of the pressure range above which a tip comes down, and at which it lifts, as in libinput.
DOWN, UP = 0.05, 0.01


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a tablet, as its AbsInfo describes it.

    Attributes:
        low: least count.
        high: greatest count.
        per_mm: counts per millimetre, 0 if the driver does not know.
        value: its count at the beginning; events come only when it changes.
    """

    low: int
    high: int
    per_mm: int = 0
    value: int = 0


@dataclass(frozen=True, slots=True)
class Layout:
    """What a tablet reports.

    Attributes:
        x: to the right.
        y: downwards.
        pressure: of the tip; None without it, then BTN_TOUCH says when the tip is down.
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
        """The unit of the events' coordinates."""
        return "mm" if self.x.per_mm and self.y.per_mm else "count"

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the writing area, in `units`."""
        x, y = self.x, self.y
        return _placed(x.high, x, self.units), _placed(y.high, y, self.units)


@dataclass(frozen=True, slots=True)
class PenEvent:
    """The tip touched, moved or lifted.

    Attributes:
        kind: which of the three.
        x: to the right from the left edge, in the layout's units.
        y: downwards from the upper edge, in the same units. If the tip lifted, x and y are its last position.
        t_ms: milliseconds on the clock of the events.
        pressure: 0 to 1, None if the tablet reports none.
        is_eraser: whether it is the pen's eraser end.
    """

    kind: Literal["down", "move", "up"]
    x: float
    y: float
    t_ms: float
    pressure: float | None = None
    is_eraser: bool = False


class Decoder:
    """Turns input events into pen events; knows no device and no clock.

    Pressure, with hysteresis, decides whether the tip is down, because some tablets set BTN_TOUCH when the
    pen is only near. After lost events (SYN_DROPPED) it discards what follows up to the next SYN_REPORT and
    ends an open stroke: a stroke in two parts is better than a line where the pen was up.

    Attributes:
        is_stale: whether events were lost since the last `resync`.
    """

    def __init__(self, layout: Layout) -> None:
        """Begin with the state in the layout."""
        self.layout = layout
        self.is_stale = False
        self._dropping = False
        self._last: PenEvent | None = None
        self._keys: set[int] = set()
        self._axes: dict[int, int] = {}
        pressure = layout.pressure.value if layout.pressure else 0
        self.resync(layout.x.value, layout.y.value, pressure, layout.keys)

    def resync(self, x: int, y: int, pressure: int, keys: Collection[int]) -> None:
        """Set the state as read from the device, after events were lost.

        Args:
            x: count of the x axis.
            y: count of the y axis.
            pressure: count of the pressure axis; ignored if the tablet has none.
            keys: codes of the keys that are held.
        """
        self._axes = {_codes.ABS_X: x, _codes.ABS_Y: y, _codes.ABS_PRESSURE: pressure}
        self._keys = set(keys)
        self.is_stale = False

    def feed(self, time: float, kind: int, code: int, value: int) -> list[PenEvent]:
        """Take one input event.

        Args:
            time: seconds on any clock.
            kind: EV_SYN, EV_KEY, EV_ABS or another, which is ignored.
            code: what changed.
            value: its new value.

        Returns: what the pen did: at most two events, and none before a SYN_REPORT.
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
        # The tip counts as up until an event says otherwise.
        self._lift()
        return self._end(time)

    def _lift(self) -> None:
        self._axes[_codes.ABS_PRESSURE] = self.layout.pressure.low if self.layout.pressure else 0
        self._keys.discard(_codes.BTN_TOUCH)

    def _report(self, time: float) -> list[PenEvent]:
        """A sample is complete: give what happened."""
        is_near = not self.layout.tells_proximity or bool(
            self._keys & {_codes.BTN_TOOL_PEN, _codes.BTN_TOOL_RUBBER}
        )
        if not is_near:
            # Its next touch is a new one, even if the tablet does not report the end of this one.
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
        return [replace(last, kind="up", t_ms=time * 1000)] if last else []

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
        layout: the tablet that they come from.
    """
    decoder = Decoder(layout)
    for event in events:
        yield from decoder.feed(*event)


def strokes_of(events: Iterable[PenEvent]) -> Iterator[Stroke]:
    """Gather strokes, each as soon as it is complete; the eraser draws none."""
    points: list[PenEvent] = []
    for event in events:
        if event.is_eraser:
            continue
        if event.kind != "up":
            points.append(event)
        elif points:
            rows = [(it.x, it.y, it.t_ms, it.pressure) for it in points]
            yield Stroke.of([[value for value in row if value is not None] for row in rows])
            points = []


def _placed(count: int, axis: Axis, units: Units) -> float:
    return (count - axis.low) / (axis.per_mm if units == "mm" else 1)
