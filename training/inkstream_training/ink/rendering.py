"""Draws glyphs into frames with the server's own code, so that training and serving see the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt
from inkstream_server.ink import PEN_WIDTH, tensor_of

from inkstream_training.ink.negatives import Strokes

__all__ = ["Frames", "render", "render_all"]

Frames = npt.NDArray[np.uint8]
"""uint8 (n, 28, 28), ink high."""

_EVERY = 500


def render(strokes: Strokes, *, y_up: bool, width: float = PEN_WIDTH) -> Frames:
    """Draw one glyph: uint8 (28, 28), all 0 without ink."""
    frame = tensor_of(strokes, y_up=y_up, width=width)
    return np.zeros((28, 28), np.uint8) if frame is None else frame.reshape(28, 28)


def render_all(
    glyphs: Iterable[tuple[Strokes, bool]],
    widths: Sequence[float] = (PEN_WIDTH,),
    on_glyphs: Callable[[int], None] = lambda drawn: None,
) -> Frames:
    """Draw every glyph with every width. Takes about 70 microseconds a frame.

    Args:
        glyphs: strokes, and whether y grows upwards in them.
        widths: pen widths in pixels.
        on_glyphs: called repeatedly with the number of glyphs drawn since the last call.

    Returns: frames; those of a glyph are adjacent.
    """
    frames: list[Frames] = []
    count = 0
    for strokes, y_up in glyphs:
        frames.extend(render(strokes, y_up=y_up, width=width) for width in widths)
        count += 1
        if count == _EVERY:
            on_glyphs(count)
            count = 0
    on_glyphs(count)
    return np.stack(frames) if frames else np.zeros((0, 28, 28), np.uint8)
