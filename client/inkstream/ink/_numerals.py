"""Spells numbers for text formats: without loss, whole ones without a fraction."""

from __future__ import annotations

from collections.abc import Iterator

from inkstream.ink._ink import Stroke


def rows_of(stroke: Stroke) -> Iterator[str]:
    """Give the points of a stroke: x, y, then t_ms and pressure if there are any, with blanks between."""
    columns = (stroke.x, stroke.y, stroke.t_ms, stroke.pressure)
    cells = [map(_spelled, column.tolist()) for column in columns if column is not None]
    return map(" ".join, zip(*cells, strict=True))


def _spelled(value: float) -> str:
    """Give the shortest numeral that reads as `value` again."""
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
