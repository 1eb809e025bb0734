"""Draws normalised strokes the way MNIST's digits were drawn, and places them where those lie.

`rasterize` is the seam for another rasteriser, and this is the only module that changes: `_path`, `_draw` and
`_state` are all that know celiagg (Anti-Grain Geometry). benchmarks/rasterizers.py compares it with others.
"""

from __future__ import annotations

from functools import lru_cache

import celiagg  # type: ignore[import-untyped]  # It has no types.
import numpy as np
from numpy.typing import NDArray

from inkstream_server.ink.normalize import BOX, Normalized

#: Pixels a side of the frame.
SIDE = 28
#: The pixel index on which the centre of mass lies, as in MNIST: docs/ink.md.
CENTRE = 14.0

#: Pixels that the centre may be off to keep ink inside the frame.
_MOST_OFF = 0.4

Frame = NDArray[np.uint8]

_PAINT = celiagg.SolidPaint(1.0, 1.0, 1.0, 1.0)
#: Where the box lies in the frame from which the centre of mass is measured.
_MARGIN = (SIDE - BOX) / 2
#: Length in pixels that a stroke without length is given, since caps need a direction. It cannot be seen.
_HAIR = 1e-3
#: Times a frame's pixels: the mass, its moment in x and its moment in y.
_MOMENTS = np.stack(
    [np.ones(SIDE * SIDE), np.tile(np.arange(SIDE), SIDE), np.repeat(np.arange(SIDE), SIDE)], axis=1
).astype(np.float32)


def rasterize(glyph: Normalized) -> Frame:
    """Draw a glyph: anti-aliased, round caps and joins, centre of mass on pixel index 14.

    The glyph is drawn twice; the centre of mass of the first drawing says where the second one goes. A sum
    over segments would not do: it counts ink twice where lines cross, and is off by up to a pixel. Nor would
    a move by whole pixels: the tensor would jump when the ink hardly changes. Where one side is so heavy that
    ink would leave the frame, the centre stays off by up to 0.4 pixels; ink that leaves it then is lost.

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
    """Give the offset that keeps most ink of `extent` in the frame, at most _MOST_OFF from `offset`."""
    inside = min(max(offset, width / 2), SIDE - extent - width / 2)
    return min(max(inside, offset - _MOST_OFF), offset + _MOST_OFF)


def _draw(path: celiagg.Path, state: celiagg.GraphicsState, right: float, down: float) -> Frame:
    """Draw a path, moved right and down by so many pixels; uint8 of shape (28, 28)."""
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
