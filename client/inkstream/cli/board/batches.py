"""What a page says: JSON of its pointer events, read into calls of a pen. Pure: knows no HTTP and no pens.

A batch is `{"batch": 3, "events": [...]}`, and an event one of

* `{"do": "down", "stroke": 7, "points": [[x, y, t, pressure], ...]}`: the tip touches, and moves on;
* `{"do": "move", "points": [...]}` and `{"do": "up"}`;
* `{"do": "erase", "stroke": 7}` and `{"do": "clear"}`.

x and y are CSS pixels, y down; t is milliseconds on the page's clock; pressure is 0 to 1. A page numbers its
strokes itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

MOST_BYTES = 256 * 1024
"""Size of a batch."""
MOST_EVENTS = 256
"""Events of a batch."""
MOST_POINTS = 4096
"""Points of a batch."""
_FARTHEST = 1e5
"""Pixels; more than any screen has."""
_LATEST = 1e12
"""Milliseconds; more than any page lives."""
_MOST_NUMBER = 2**53
"""Whole numbers of JavaScript end here."""
_MOST_SHOWN = 60
"""Characters of a wrong value that its error repeats."""

Point: TypeAlias = tuple[float, float, float, float]
"""x, y, t, pressure."""


class Malformed(ValueError):
    """A request that cannot be taken as it is.

    Attributes:
        field: what is wrong, for example "events[2].points[0]".
        value: what came, shortened.
        fix: what to do about it.
    """

    def __init__(self, field: str, value: object, fix: str) -> None:
        self.field = field
        self.value = value if isinstance(value, str) else repr(value)
        if len(self.value) > _MOST_SHOWN:
            self.value = self.value[:_MOST_SHOWN] + "..."
        self.fix = fix
        super().__init__(f"{field}: {fix}, got {self.value}")

    def as_json(self) -> dict[str, str]:
        """The same for whoever asked."""
        return {"field": self.field, "value": self.value, "fix": self.fix}


@dataclass(frozen=True, slots=True)
class Down:
    """The tip touches and moves on."""

    stroke: int
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Move:
    """The tip moves."""

    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Up:
    """The tip lifts."""


@dataclass(frozen=True, slots=True)
class Erase:
    """A stroke is taken back."""

    stroke: int


@dataclass(frozen=True, slots=True)
class Clear:
    """All that has no final answer is taken back."""


Event: TypeAlias = Down | Move | Up | Erase | Clear


@dataclass(frozen=True, slots=True)
class Batch:
    """What happened on a page since the batch before."""

    number: int
    """From 1, rising; one that was taken already is not taken again."""
    events: tuple[Event, ...]


def read_batch(body: bytes) -> Batch:
    """Read a batch; all of it or nothing.

    Raises:
        Malformed: it is no batch.
    """
    try:
        said = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError):
        shown = body[: _MOST_SHOWN + 1].decode(errors="replace")
        raise Malformed("body", shown, "send one JSON object") from None
    said = _object("body", said)
    number = _whole("batch", said.get("batch"))
    events = said.get("events")
    if not isinstance(events, list) or not 0 < len(events) <= MOST_EVENTS:
        raise Malformed("events", events, f"send a list of 1 to {MOST_EVENTS} events")
    read = tuple(_event(f"events[{place}]", event) for place, event in enumerate(events))
    points = sum(len(event.points) for event in read if isinstance(event, Down | Move))
    if points > MOST_POINTS:
        raise Malformed("events", f"{points} points", f"send at most {MOST_POINTS} points a batch")
    return Batch(number, read)


def _event(field: str, said: Any) -> Event:
    said = _object(field, said)
    make = _EVENTS.get(said.get("do")) if isinstance(said.get("do"), str) else None
    if make is None:
        raise Malformed(f"{field}.do", said.get("do"), "say one of " + ", ".join(_EVENTS))
    return make(field, said)


def _points(field: str, said: Any) -> tuple[Point, ...]:
    if not isinstance(said, list) or not said:
        raise Malformed(field, said, "send a list of at least one point")
    return tuple(_point(f"{field}[{place}]", point) for place, point in enumerate(said))


def _point(field: str, said: Any) -> Point:
    if isinstance(said, list) and len(said) == 4 and all(map(_is_number, said)):
        x, y, t, pressure = said
        if max(abs(x), abs(y)) <= _FARTHEST and 0 <= t <= _LATEST and 0 <= pressure <= 1:
            return float(x), float(y), float(t), float(pressure)
    raise Malformed(
        field,
        said,
        f"send [x, y, t, pressure]: x and y within {_FARTHEST:.0f} pixels, t from 0 ms, pressure from 0 to 1",
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(field: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < _MOST_NUMBER:
        raise Malformed(field, value, "send a whole number from 1 to 2^53")
    return value


def _object(field: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Malformed(field, value, "send a JSON object")
    return value


def _no_number(word: str) -> NoReturn:
    """What JSON does not have and Python reads all the same: NaN, Infinity."""
    raise ValueError(word)


_EVENTS: dict[str, Callable[[str, dict[str, Any]], Event]] = {
    "down": lambda field, said: Down(
        _whole(f"{field}.stroke", said.get("stroke")),
        _points(f"{field}.points", said.get("points")),
    ),
    "move": lambda field, said: Move(_points(f"{field}.points", said.get("points"))),
    "up": lambda _field, _said: Up(),
    "erase": lambda field, said: Erase(_whole(f"{field}.stroke", said.get("stroke"))),
    "clear": lambda _field, _said: Clear(),
}
