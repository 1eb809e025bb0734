"""Ink as JSON Lines: one object per line.

`strokes` holds strokes of [x, y] points in writing order; `y` is the direction in which y grows. The rest
may be absent: `label`, `writer`, `contrib`, `index`, `pps` (points per second), `xppmm` and `yppmm` (counts
per millimetre), `units` (else counts), `t` and `pressure` (a list per stroke, null for a stroke without).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from inkstream.ink._errors import InvalidInk
from inkstream.ink._ink import Column, Ink, Stroke
from inkstream.ink._limits import Limits
from inkstream.ink._lines import Source

_FACTS = {"label", "writer", "contrib", "index", "pps", "xppmm", "yppmm", "units"}
_OWN = _FACTS | {"strokes", "y", "t", "pressure"}


def read(source: Source) -> Iterator[Ink]:
    """Read ink by ink; blank lines are skipped.

    Raises:
        InvalidInk: a line is not such an object.
    """
    constants: list[str] = []

    def constant(name: str) -> float:
        constants.append(name)
        return float(name)

    decoder = json.JSONDecoder(parse_constant=constant)
    for number, line in source.lines():
        if not line.strip():
            continue
        try:
            ink = _ink(decoder.decode(line), source.limits)
            if constants:
                # It is not in a stroke: there, `Stroke` has raised an error with its place.
                raise InvalidInk(f"expected finite numbers, got {constants[0]}")
            yield ink
        except InvalidInk as error:
            raise source.refuse(error.reason, number) from None
        except ValueError as error:
            raise source.refuse(f"expected JSON ({error})", number) from None
        except RecursionError:
            raise source.refuse("nested too deeply", number) from None


def line_of(ink: Ink) -> str:
    """Give the ink's line, without the line break."""
    row: dict[str, Any] = {key: value for key, value in ink.extra.items() if key not in _OWN}
    row |= {
        "label": ink.label,
        "writer": ink.writer,
        "contrib": ink.contributor,
        "index": ink.index,
        "pps": ink.points_per_second,
        "xppmm": ink.per_mm and ink.per_mm[0],
        "yppmm": ink.per_mm and ink.per_mm[1],
        "units": None if ink.units == "count" else ink.units,
    }
    row = {key: value for key, value in row.items() if value is not None or key in ink.extra}
    row["y"] = ink.y
    row["strokes"] = [
        [list(point) for point in zip(_plain(s.x), _plain(s.y), strict=True)] for s in ink.strokes
    ]
    for key, columns in (
        ("t", [stroke.t_ms for stroke in ink.strokes]),
        ("pressure", [stroke.pressure for stroke in ink.strokes]),
    ):
        if any(column is not None for column in columns):
            row[key] = [None if column is None else _plain(column) for column in columns]
    try:
        return json.dumps(row, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidInk(f"extra: cannot be written as JSON ({error})") from None


def _ink(row: object, limits: Limits) -> Ink:
    if not isinstance(row, dict):
        raise InvalidInk(f"expected an object, got {_kind(row)}")
    for key in ("strokes", "y"):
        if key not in row:
            raise InvalidInk(f"{key}: missing")
    strokes = _list("strokes", row["strokes"])
    if len(strokes) > limits.strokes:
        raise InvalidInk(f"strokes: expected at most {limits.strokes}, got {len(strokes)}")
    times = _columns("t", row, len(strokes))
    pressures = _columns("pressure", row, len(strokes))
    made = []
    for number, (points, t, pressure) in enumerate(zip(strokes, times, pressures, strict=True)):
        table = _table(f"strokes[{number}]", points, limits.points)
        t_ms = None if t is None else _numbers(f"t[{number}]", t)
        pressed = None if pressure is None else _numbers(f"pressure[{number}]", pressure)
        try:
            made.append(Stroke(table[:, 0], table[:, 1], t_ms, pressed))
        except InvalidInk as error:
            raise InvalidInk(f"strokes[{number}]: {error.reason}") from None
    across, along = _number(row, "xppmm"), _number(row, "yppmm")
    index = row.get("index")
    if index is not None and type(index) is not int:
        raise InvalidInk(f"index: expected a whole number, got {_kind(index)}")
    return Ink(
        tuple(made),
        y=row["y"],
        units="count" if row.get("units") is None else row["units"],
        per_mm=None if across is None or along is None else (across, along),
        points_per_second=_number(row, "pps"),
        label=_text(row, "label"),
        writer=_text(row, "writer"),
        contributor=_text(row, "contrib"),
        index=index,
        extra={key: value for key, value in row.items() if key not in _OWN},
    )


def _table(name: str, points: object, most: int) -> Column:
    """The points as float64 of shape (n, 2)."""
    points = _list(name, points)
    if len(points) > most:
        raise InvalidInk(f"{name}: expected at most {most} points, got {len(points)}")
    table = _array(points)
    if table is not None and table.shape == (len(points), 2):
        return table
    # Check them one by one to find the error, or an integer that is too long for NumPy.
    for place, point in enumerate(points):
        if len(_list(f"{name}[{place}]", point)) != 2:
            raise InvalidInk(f"{name}[{place}]: expected a point [x, y], got {len(point)} values")
    return np.array(
        [_numbers(f"{name}[{place}]", point) for place, point in enumerate(points)]
    ).reshape(-1, 2)


def _numbers(name: str, values: object) -> Column:
    """The values as float64 of shape (n,)."""
    values = _list(name, values)
    column = _array(values)
    if column is not None and column.ndim == 1:
        return column
    return np.array([_float(f"{name}[{place}]", value) for place, value in enumerate(values)])


def _array(values: list[Any]) -> Column | None:
    """The values as float64, None unless all are numbers that NumPy knows and in rows of one length."""
    try:
        # Without a type: given float64, NumPy would convert texts to numbers, too.
        array = np.array(values)
    except ValueError:
        return None
    return array.astype(np.float64) if array.dtype.kind in "iuf" else None


def _columns(key: str, row: dict[str, Any], strokes: int) -> list[Any]:
    if row.get(key) is None:
        return [None] * strokes
    columns = _list(key, row[key])
    if len(columns) != strokes:
        raise InvalidInk(f"{key}: expected one entry per stroke ({strokes}), got {len(columns)}")
    return columns


def _list(name: str, value: object) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidInk(f"{name}: expected a list, got {_kind(value)}")
    return value


def _number(row: dict[str, Any], key: str) -> float | None:
    value = row.get(key)
    return None if value is None else _float(key, value)


def _float(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInk(f"{name}: expected a number, got {_kind(value)}")
    try:
        return float(value)
    except OverflowError:
        raise InvalidInk(f"{name}: the number is too large") from None


def _text(row: dict[str, Any], key: str) -> str | None:
    value = row.get(key)
    if value is not None and not isinstance(value, str):
        raise InvalidInk(f"{key}: expected a string, got {_kind(value)}")
    return value


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return names.get(type(value), "null" if value is None else "a number")


def _plain(column: Column) -> list[float]:
    """The column as numbers, whole ones without ".0"."""
    return [int(v) if v.is_integer() and abs(v) < 2**53 else v for v in column.tolist()]
