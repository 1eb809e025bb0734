"""Pen events as a device sends them, made from strokes of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from inkstream.v1 import ink_pb2

InkEvent = ink_pb2.InkEvent
Line = Sequence[tuple[int, int]]

#: A "1" of 20 counts, drawn downwards.
BAR: Line = [(0, 0), (0, 10), (0, 20)]


def opened(pen: int = 1, **fields: Any) -> InkEvent:
    return InkEvent(pen=pen, open=ink_pb2.PenOpen(**fields))


def begun(stroke: int, pen: int = 1, time_ms: int = 0) -> InkEvent:
    begin = ink_pb2.StrokeBegin(stroke=stroke, time_ms=time_ms)
    return InkEvent(pen=pen, stroke_begin=begin)


def moved(points: Line | npt.NDArray[Any], pen: int = 1, start: Sequence[int] = (0, 0)) -> InkEvent:
    steps = np.diff(np.array([start, *points], int), axis=0)
    return InkEvent(
        pen=pen, points=ink_pb2.Points(dx=steps[:, 0].tolist(), dy=steps[:, 1].tolist())
    )


def lifted(pen: int = 1) -> InkEvent:
    return InkEvent(pen=pen, stroke_end=ink_pb2.StrokeEnd())


def erased(stroke: int, pen: int = 1) -> InkEvent:
    return InkEvent(pen=pen, stroke_remove=ink_pb2.StrokeRemove(stroke=stroke))


def ended(pen: int = 1) -> InkEvent:
    return InkEvent(pen=pen, glyph_end=ink_pb2.GlyphEnd())


def cleared(pen: int = 1) -> InkEvent:
    return InkEvent(pen=pen, clear=ink_pb2.Clear())


def closed(pen: int = 1) -> InkEvent:
    return InkEvent(pen=pen, close=ink_pb2.PenClose())


def stroke(number: int, points: Line | npt.NDArray[Any] = BAR, pen: int = 1) -> list[InkEvent]:
    """A stroke from pen-down to pen-up."""
    return [begun(number, pen), moved(points, pen), lifted(pen)]


def shifted(points: Line, right: int, down: int = 0) -> list[tuple[int, int]]:
    return [(x + right, y + down) for x, y in points]
