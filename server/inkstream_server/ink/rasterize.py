"""Draws normalised strokes the way MNIST's digits were drawn, and places them where those lie.

celiagg (Anti-Grain Geometry) was chosen by measurement: benchmarks/rasterizers.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import celiagg  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from inkstream_server.ink.normalize import BOX, PEN_WIDTH, Normalized, normalize

#: Pixels a side of the frame.
SIDE = 28
#: The pixel index on which the centre of mass lies: 14.00 ± 0.29 over MNIST's 60,000.
CENTRE = 14.0

#: Pixels that the centre may be off where ink would leave the frame otherwise.
_MOST_OFF = 0.4

Frame = NDArray[np.uint8]

_PAINT = celiagg.SolidPaint(1.0, 1.0, 1.0, 1.0)
#: Where the box lies in the frame from which the centre of mass is measured.
_MARGIN = (SIDE - BOX) / 2
#: A stroke without length has no direction to draw caps in; this one, in pixels, cannot be seen.
_HAIR = 1e-3
#: What a frame's pixels are summed with for mass, its moment in x and its moment in y.
_MOMENTS = np.stack(
    [
        np.ones(SIDE * SIDE),
        np.tile(np.arange(SIDE), SIDE),
        np.repeat(np.arange(SIDE), SIDE),
    ],
    axis=1,
).astype(np.float32)


def tensor_of(
    strokes: Sequence[NDArray[np.floating | np.integer]],
    *,
    y_up: bool,
    width: float = PEN_WIDTH,
    tap: float = 0.0,
) -> Frame | None:
    """Give the tensor that a model sees for one glyph's ink.

    Args:
        strokes: each of shape (n, 2), x and y in any one unit.
        y_up: whether y grows upwards in them.
        width: pen width in pixels of the 28x28 frame.
        tap: see `normalize`.

    Returns: uint8 of shape (784,), ink high, row by row from the top; None where there is no ink.
    """
    glyph = normalize(strokes, y_up=y_up, width=width, tap=tap)
    return None if glyph is None else rasterize(glyph).reshape(-1)


def rasterize(glyph: Normalized) -> Frame:
    """Draw a glyph: anti-aliased, round caps and joins, centre of mass on pixel index 14.

    The glyph is drawn twice, the second time where the first drawing's centre of mass says: a sum over
    segments would count ink twice where lines cross and be off by up to a pixel, and moving by whole
    pixels would make the tensor jump when the ink hardly changes. Where one side is so heavy that ink would
    leave the frame, the centre stays off by up to _MOST_OFF to keep it in; what leaves it then is lost.

    Args:
        glyph: what `normalize` gave.

    Returns: uint8 of shape (28, 28), ink high. About 30 microseconds for 40 points. May be called from
        any thread.
    """
    path = _path(glyph)
    state = _state(glyph.width)
    margin = _MARGIN + glyph.width / 2
    mass, x, y = (_draw(path, state, margin, margin).reshape(-1) @ _MOMENTS).tolist()
    if not mass:
        # A pen too thin to darken a pixel.
        return np.zeros((SIDE, SIDE), np.uint8)
    right, down = glyph.size
    return _draw(
        path,
        state,
        _towards_frame(margin + CENTRE - x / mass, right, glyph.width),
        _towards_frame(margin + CENTRE - y / mass, down, glyph.width),
    )


def _towards_frame(offset: float, extent: float, width: float) -> float:
    """The offset at most _MOST_OFF from `offset` that keeps most ink of `extent` inside the frame."""
    inside = min(max(offset, width / 2), SIDE - extent - width / 2)
    return min(max(inside, offset - _MOST_OFF), offset + _MOST_OFF)


def _draw(path: celiagg.Path, state: celiagg.GraphicsState, right: float, down: float) -> Frame:
    """Draw the path, moved by so many pixels."""
    frame = np.zeros((SIDE, SIDE), np.uint8)
    moved = celiagg.Transform(1.0, 0.0, 0.0, 1.0, right, down)
    celiagg.CanvasG8(frame).draw_shape(path, moved, state, stroke=_PAINT)
    return frame


def _path(glyph: Normalized) -> celiagg.Path:
    path = celiagg.Path()
    for stroke in glyph.strokes:
        path.lines(stroke)
        x, y = stroke[0].tolist()
        if stroke[-1].tolist() == [x, y] and (stroke == stroke[0]).all():
            path.line_to(x + _HAIR, y)
    return path


@lru_cache(maxsize=64)
def _state(width: float) -> celiagg.GraphicsState:
    return celiagg.GraphicsState(
        line_width=width,
        line_cap=celiagg.LineCap.CapRound,
        line_join=celiagg.LineJoin.JoinRound,
        drawing_mode=celiagg.DrawingMode.DrawStroke,
        anti_aliased=True,
    )
