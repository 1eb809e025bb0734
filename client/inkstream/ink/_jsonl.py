"""Ink as JSON Lines: one object a line.

`strokes` holds strokes of [x, y] points in writing order; `y` says which way y grows. The rest may be
absent: `label`, `writer`, `contrib`, `index`, `pps` (points a second), `xppmm` and `yppmm` (counts a
millimetre), `units` (else counts), `t` and `pressure` (a list a stroke, null for a stroke without).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np

from inkstream.ink._errors import InvalidInk
from inkstream.ink._ink import Column, Ink, Stroke
from inkstream.ink._limits import Limits
from inkstream.ink._lines import Source

_OWN = frozenset(
    [
        "strokes",
        "y",
        "label",
        "writer",
        "contrib",
        "index",
        "pps",
        "xppmm",
        "yppmm",
        "units",
        "t",
        "pressure",
    ]
)


def read(source: Source) -> Iterator[Ink]:
    """Read ink by ink; blank lines are skipped.

    Raises:
        InvalidInk: a line is no such object.
    """
    for number, line in source.lines():
        if not line.strip():
            continue
        try:
            yield _ink(json.loads(line, parse_constant=_refuse_constant), source.limits)
        except InvalidInk as error:
            raise source.refuse(error.reason, number) from None
        except ValueError as error:
            raise source.refuse(f"no JSON ({error})", number) from None
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
        made.append(
            Stroke(
                table[:, 0],
                table[:, 1],
                None if t is None else _numbers(f"t[{number}]", t),
                None if pressure is None else _numbers(f"pressure[{number}]", pressure),
            )
        )
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
    if not points:
        return np.empty((0, 2))
    table = _numbers(name, points)
    if table.ndim != 2 or table.shape[1] != 2:
        raise InvalidInk(f"{name}: expected points [x, y]")
    return table


def _numbers(name: str, values: object) -> Column:
    """The values as float64; NumPy alone would take texts and truth values for numbers, too."""
    try:
        array = np.array(values)
    except ValueError:
        raise InvalidInk(f"{name}: expected points of one length") from None
    if array.size and array.dtype.kind not in "iuf":
        raise InvalidInk(f"{name}: expected numbers, got {array.dtype.name}")
    return array.astype(np.float64)


def _columns(key: str, row: dict[str, Any], strokes: int) -> list[Any]:
    if row.get(key) is None:
        return [None] * strokes
    columns = _list(key, row[key])
    if len(columns) != strokes:
        raise InvalidInk(f"{key}: expected one entry a stroke ({strokes}), got {len(columns)}")
    return columns


def _list(name: str, value: object) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidInk(f"{name}: expected a list, got {_kind(value)}")
    return value


def _number(row: dict[str, Any], key: str) -> float | None:
    value = row.get(key)
    if value is None:
        return None
    if type(value) not in (int, float):
        raise InvalidInk(f"{key}: expected a number, got {_kind(value)}")
    try:
        return float(value)
    except OverflowError:
        raise InvalidInk(f"{key}: the number is too large") from None


def _text(row: dict[str, Any], key: str) -> str | None:
    value = row.get(key)
    if value is not None and not isinstance(value, str):
        raise InvalidInk(f"{key}: expected a text, got {_kind(value)}")
    return value


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value"}
    return names.get(type(value), "null" if value is None else "a number")


def _plain(column: Column) -> list[float]:
    """The column as numbers, whole ones without ".0"."""
    return [int(v) if v.is_integer() and abs(v) < 2**53 else v for v in column.tolist()]


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidInk(f"expected finite numbers, got {name}")
