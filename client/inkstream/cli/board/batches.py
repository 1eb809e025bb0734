"""Reads the pointer events that a page posts. Knows neither HTTP nor pens.

A batch is `{"batch": 3, "events": [...]}`, and an event is one of

* `{"do": "down", "stroke": 7, "points": [[x, y, t, pressure], ...]}`: the tip touches and moves;
* `{"do": "move", "points": [...]}` and `{"do": "up"}`;
* `{"do": "erase", "stroke": 7}` and `{"do": "clear"}`.

x and y are CSS pixels, y down; t is milliseconds on the page's clock; pressure is 0 to 1. The page numbers
its strokes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

MOST_BYTES = 256 * 1024
"""Largest size of a batch."""
MOST_EVENTS = 256
"""Largest number of events in a batch."""
MOST_POINTS = 4096
"""Largest number of points in a batch."""
_FARTHEST = 1e5
"""Largest coordinate in pixels; no screen is larger."""
_LATEST = 1e12
"""Largest time in milliseconds; no page is open so long."""
_MOST_NUMBER = 2**53
"""JavaScript counts exactly only below this."""
_MOST_SHOWN = 60
"""Largest number of characters of a wrong value that its error shows."""

Point: TypeAlias = tuple[float, float, float, float]
"""x, y, t, pressure."""


class Malformed(ValueError):
    """A request is invalid.

    Attributes:
        field: the wrong field, for example "events[2].points[0]".
        value: its value, shortened.
        fix: what to send instead.
    """

    def __init__(self, field: str, value: object, fix: str) -> None:
        self.field = field
        self.value = value if isinstance(value, str) else repr(value)
        if len(self.value) > _MOST_SHOWN:
            self.value = self.value[:_MOST_SHOWN] + "..."
        self.fix = fix
        super().__init__(f"{field}: {fix}, got {self.value}")

    def as_json(self) -> dict[str, str]:
        """Give the error as JSON for the page."""
        return {"field": self.field, "value": self.value, "fix": self.fix}


@dataclass(frozen=True, slots=True)
class Down:
    """The tip touches and moves."""

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
    """All strokes without a final answer are taken back."""


Event: TypeAlias = Down | Move | Up | Erase | Clear


@dataclass(frozen=True, slots=True)
class Batch:
    """The events on a page since the last batch."""

    number: int
    """Counts up from 1; a batch that is repeated is ignored."""
    events: tuple[Event, ...]


def read_batch(body: bytes) -> Batch:
    """Read a batch, or reject all of it.

    Raises:
        Malformed: it is no valid batch.
    """
    try:
        sent = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError):
        shown = body[: _MOST_SHOWN + 1].decode(errors="replace")
        raise Malformed("body", shown, "send one JSON object") from None
    sent = _object("body", sent)
    number = _whole("batch", sent.get("batch"))
    events = sent.get("events")
    if not isinstance(events, list) or not 0 < len(events) <= MOST_EVENTS:
        raise Malformed("events", events, f"send a list of 1 to {MOST_EVENTS} events")
    read = tuple(_event(f"events[{place}]", event) for place, event in enumerate(events))
    points = sum(len(event.points) for event in read if isinstance(event, Down | Move))
    if points > MOST_POINTS:
        raise Malformed("events", f"{points} points", f"send at most {MOST_POINTS} points a batch")
    return Batch(number, read)


def _event(field: str, sent: Any) -> Event:
    sent = _object(field, sent)
    match sent.get("do"):
        case "down":
            stroke = _whole(f"{field}.stroke", sent.get("stroke"))
            return Down(stroke, _points(f"{field}.points", sent.get("points")))
        case "move":
            return Move(_points(f"{field}.points", sent.get("points")))
        case "up":
            return Up()
        case "erase":
            return Erase(_whole(f"{field}.stroke", sent.get("stroke")))
        case "clear":
            return Clear()
        case other:
            raise Malformed(f"{field}.do", other, "send one of down, move, up, erase, clear")


def _points(field: str, sent: Any) -> tuple[Point, ...]:
    if not isinstance(sent, list) or not sent:
        raise Malformed(field, sent, "send a list of at least one point")
    return tuple(_point(f"{field}[{place}]", point) for place, point in enumerate(sent))


def _point(field: str, sent: Any) -> Point:
    if isinstance(sent, list) and len(sent) == 4 and all(map(_is_number, sent)):
        x, y, t, pressure = sent
        if max(abs(x), abs(y)) <= _FARTHEST and 0 <= t <= _LATEST and 0 <= pressure <= 1:
            return float(x), float(y), float(t), float(pressure)
    raise Malformed(
        field,
        sent,
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
    """Reject NaN and Infinity, which Python reads although JSON does not have them."""
    raise ValueError(word)
