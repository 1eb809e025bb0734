"""The <traceFormat>, <inkSource> and <context> elements of InkML: the meaning of a trace's numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inkstream.ink._errors import InvalidInk
from inkstream.ink._ink import Column, Stroke, Units, YDirection

#: Millimetres of a unit of length.
_MM = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "in": 25.4, "pt": 25.4 / 72, "pc": 25.4 / 6}
#: Milliseconds of a unit of time.
_MS = {"": 1.0, "ms": 1.0, "s": 1000.0, "us": 1e-3, "ns": 1e-6}


@dataclass(frozen=True, slots=True)
class Channel:
    """One number of each point.

    Attributes:
        name: X, Y, T, F or another, which is ignored.
        scale: factor, applied after `origin`.
        origin: subtracted first.
    """

    name: str
    scale: float = 1.0
    origin: float = 0.0


@dataclass(frozen=True, slots=True)
class Format:
    """The meaning of a trace's numbers; the default is InkML's.

    Attributes:
        channels: the numbers of a point, in order.
        y: the direction in which y grows.
        units: of x and y.
        per_mm: counts per millimetre, None if unknown.
        points_per_second: the sampling rate, None if unknown.
    """

    channels: tuple[Channel, ...] = (Channel("X"), Channel("Y"))
    y: YDirection = "down"
    units: Units = "count"
    per_mm: tuple[float, float] | None = None
    points_per_second: float | None = None

    def same_ink(self, other: Format) -> bool:
        """Whether strokes of both may belong to one ink."""
        return dataclasses.replace(self, channels=other.channels) == other

    def stroke(self, table: Column) -> Stroke:
        """Make a stroke of a trace's points, float64 of shape (n, channels).

        Raises:
            InvalidInk: a number is not finite.
        """
        columns = {
            channel.name: (table[:, place] - channel.origin) * channel.scale
            for place, channel in enumerate(self.channels)
        }
        return Stroke(columns["X"], columns["Y"], columns.get("T"), columns.get("F"))


class FormatBuilder:
    """Builds a format from the elements inside a <context>, <inkSource> or <traceFormat>."""

    def __init__(self, base: Format) -> None:
        """Begin with the format that applies so far."""
        self._base = base
        self._channels: list[Channel] = []
        self._resolution: dict[str, float] = {}
        self._changes: dict[str, Any] = {}

    def rebase(self, base: Format) -> None:
        """Begin again with the format that an element refers to."""
        self._base = base

    def channel(self, attributes: Mapping[str, str]) -> None:
        """A <channel>.

        Raises:
            InvalidInk: it has no name of its own, or an unknown unit or range.
        """
        name = attributes.get("name", "")
        if not name or any(name == channel.name for channel in self._channels):
            raise InvalidInk(f"channel: expected a name of its own, got {name!r}")
        units = attributes.get("units", "")
        made = Channel(name)
        if name in ("X", "Y"):
            kind: Units = "mm" if units in _MM else "px" if units == "px" else "count"
            if self._changes.setdefault("units", kind) != kind:
                raise InvalidInk("channel: expected X and Y in units alike")
            made = Channel(name, _MM.get(units, 1.0))
            if name == "Y":
                self._changes["y"] = "up" if attributes.get("orientation") == "-ve" else "down"
        elif name == "T":
            if units not in _MS:
                raise InvalidInk(f"channel T: expected a unit of time, got {units[:80]!r}")
            made = Channel(name, _MS[units])
        elif name == "F" and "max" in attributes:
            low, high = number(attributes.get("min", "0")), number(attributes["max"])
            if low is None or high is None or not high > low:
                raise InvalidInk("channel F: expected numbers with max above min")
            made = Channel(name, 1 / (high - low), low)
        self._channels.append(made)

    def channel_property(self, attributes: Mapping[str, str]) -> None:
        """A <channelProperty>; only the resolution of X and Y matters."""
        value = number(attributes.get("value", ""))
        channel, units = attributes.get("channel"), attributes.get("units", "").strip()
        if attributes.get("name") == "resolution" and channel in ("X", "Y") and value:
            unit = units.removeprefix("1/")
            if unit in _MM and unit != units and 0 < value / _MM[unit] < 1e9:
                self._resolution[channel] = value / _MM[unit]

    def sample_rate(self, attributes: Mapping[str, str]) -> None:
        """A <sampleRate>, in hertz."""
        value = number(attributes.get("value", ""))
        if value is not None and 0 < value < 1e9:
            self._changes["points_per_second"] = value

    def build(self) -> Format:
        """Give the format.

        Raises:
            InvalidInk: there are channels, but not X and Y.
        """
        made = dataclasses.replace(self._base, **self._changes)
        if self._channels:
            if not {"X", "Y"} <= {channel.name for channel in self._channels}:
                raise InvalidInk("traceFormat: expected channels X and Y")
            made = dataclasses.replace(made, channels=tuple(self._channels))
        if len(self._resolution) == 2:
            per_mm = (self._resolution["X"], self._resolution["Y"])
            made = dataclasses.replace(made, per_mm=per_mm)
        return made


def number(text: str) -> float | None:
    """Give the finite number that a text holds, None if it holds none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
