"""From the strokes of one glyph to what a model sees, and when a model is not asked.

A network reads an empty frame or a dot as some digit. So a rule decides first: a tap of the pen is no digit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inkstream_server.ink.normalize import PEN_WIDTH, normalize
from inkstream_server.ink.rasterize import Frame, rasterize
from inkstream_server.ink.trace import Trace, trace_of

_TAP_SIZES: dict[str | None, float] = {"mm": 0.5, "px": 2.0}
#: Share of the writing area's longer side, where the size of a unit is unknown.
_TAP_OF_AREA = 1 / 250


def tap_size(units: str | None, area: float = 0.0) -> float:
    """Give the longest side that the tap of a pen may have, in units of the ink; 0 where unknown.

    Args:
        units: "mm", or "px" of a screen; None where the size of a unit is unknown.
        area: longer side of the writing area in units, used where `units` is None; 0 where unknown.
    """
    return _TAP_SIZES.get(units, _TAP_OF_AREA * area)


def model_frame(
    strokes: Sequence[NDArray[np.floating | np.integer]], *, y_up: bool, tap: float = 0.0
) -> Frame | None:
    """Draw one glyph for a model, or give None where the model is not asked: no ink, or a dot at most.

    Args:
        strokes: as in `normalize`.
        y_up: as in `normalize`.
        tap: longest side of a mere tap, in the unit of `strokes`; see `tap_size`.

    Returns: uint8 of shape (28, 28), ink high. About 50 microseconds for a digit of 40 points. May be called
        from any thread.

    Raises:
        ValueError: a stroke is not of shape (n, 2).
    """
    glyph = normalize(strokes, y_up=y_up, tap=tap)
    return None if glyph is None or glyph.is_dot else rasterize(glyph)


def model_inputs(
    strokes: Sequence[NDArray[np.floating | np.integer]], *, y_up: bool, tap: float = 0.0
) -> tuple[Frame, Trace] | None:
    """Draw one glyph for a network that sees images, and write it for one that sees strokes.

    The arguments and errors are those of `model_frame`, and so is None.

    Returns: the result of `model_frame`, and that of `trace_of`. About 100 microseconds.
    """
    glyph = normalize(strokes, y_up=y_up, tap=tap)
    return None if glyph is None or glyph.is_dot else (rasterize(glyph), trace_of(glyph))


def tensor_of(
    strokes: Sequence[NDArray[np.floating | np.integer]],
    *,
    y_up: bool,
    width: float = PEN_WIDTH,
    tap: float = 0.0,
) -> NDArray[np.uint8] | None:
    """Draw one glyph, even a dot, as a tensor.

    The arguments and errors are those of `normalize`.

    Returns: uint8 of shape (784,), ink high, row by row from the top; None where there is no ink.
    """
    glyph = normalize(strokes, y_up=y_up, width=width, tap=tap)
    return None if glyph is None else rasterize(glyph).reshape(-1)
