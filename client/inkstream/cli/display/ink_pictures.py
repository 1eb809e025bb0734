"""Draws ink for people to look at. What a model sees is drawn by the server, and looks a little different."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from inkstream._pens.point_coder import fit
from inkstream.cli.writing.pen_simulator import draw_strokes
from inkstream.ink import Ink

_COLOURS = ((31, 78, 161), (192, 57, 43), (39, 135, 70), (142, 68, 173), (211, 120, 0))
"""Colours of the strokes, in the order of writing."""
_FINER = 4
"""Pixels drawn for each that is shown, since Pillow's lines have hard edges."""
_BRAILLE = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""Bits of a Braille character's dots, from U+2800 on (Unicode, Braille Patterns)."""
_SMALLEST = 1e-12
"""Ink with no longer side is a dot."""
_MOST_POINTS = 400
"""Points of a thumbnail, at most; more would not show."""
_CAPTION = 28
"""Pixels of a caption's height in a grid."""
_GAP = 20
"""Pixels between the columns of a grid."""


def thumbnail(ink: Ink) -> npt.NDArray[np.uint8]:
    """Draw ink the way MNIST's digits look; uint8 of shape (28, 28), ink high. About a millisecond."""
    strokes = _fitted(ink, 17.6)
    if not strokes:
        return np.zeros((28, 28), np.uint8)
    step = max(1, sum(map(len, strokes)) // _MOST_POINTS)
    thinned = [stroke[::step] + 1.2 for stroke in strokes]
    # A dot is a line from itself to itself.
    return draw_strokes([np.repeat(s, 2, axis=0) if len(s) == 1 else s for s in thinned], 2.4)


def portrait(ink: Ink, side: int) -> Image.Image:
    """Draw ink, scaled to a square: a colour for each stroke, a ring where it begins."""
    large = side * _FINER
    picture = Image.new("RGB", (large, large), "white")
    brush = ImageDraw.Draw(picture)
    margin, pen = large * 0.08, max(2, large // 90)
    for number, stroke in enumerate(_fitted(ink, large - 2 * margin)):
        colour = _COLOURS[number % len(_COLOURS)]
        points = [(x, y) for x, y in (stroke + margin).tolist()]
        brush.line(points, colour, pen, "curve")
        for x, y in points:
            brush.ellipse((x - pen, y - pen, x + pen, y + pen), colour)
        x, y = points[0]
        ring = pen * 3
        brush.ellipse((x - ring, y - ring, x + ring, y + ring), None, colour, max(1, pen // 2))
    return picture.resize((side, side), Image.Resampling.LANCZOS)


def grid(cells: Sequence[Sequence[tuple[str, Image.Image]]]) -> Image.Image:
    """Arrange pictures under their captions in rows and columns, about as wide as high.

    Args:
        cells: at least one; each has the same number of captions and pictures, all of one square size.
    """
    side, abreast = cells[0][0][1].width, len(cells[0])
    columns = min(len(cells), math.ceil(math.sqrt(len(cells) / abreast)))
    wide, high = abreast * side + _GAP, side + _CAPTION
    rows = math.ceil(len(cells) / columns)
    sheet = Image.new("RGB", (columns * wide - _GAP, rows * high), "white")
    for place, cell in enumerate(cells):
        for number, (caption, picture) in enumerate(cell):
            left, top = place % columns * wide + number * side, place // columns * high
            sheet.paste(_strip(caption, side), (left, top))
            sheet.paste(picture, (left, top + _CAPTION))
    return sheet


def _strip(caption: str, width: int) -> Image.Image:
    """One line of text, cut off where it is too long."""
    strip = Image.new("RGB", (width, _CAPTION), "white")
    font = ImageFont.load_default(_CAPTION / 2)
    text = " ".join(caption.split())
    ImageDraw.Draw(strip).text((4, _CAPTION / 2), text, "black", font, "lm")
    return strip


def dots(ink: Ink, columns: int, *, utf: bool = True) -> str:
    """Draw ink, scaled to fit, as lines of text, half as many as they have columns.

    Args:
        ink: any.
        columns: width in characters, even.
        utf: draw with Braille's dots, eight a character; else with a number sign a character.
    """
    across, along = (2, 4) if utf else (1, 1)
    grid = np.zeros((columns // 2 * along, columns * across), bool)
    height, width = grid.shape
    # Characters are twice as high as wide; Braille's dots are as far apart both ways.
    shape = np.array([1.0, (height - 1) / (width - 1)])
    for stroke in _fitted(ink, width - 1):
        x, y = np.rint(_filled(stroke * shape)).astype(int).T
        grid[y, x] = True
    cells = grid.reshape(columns // 2, along, columns, across).swapaxes(1, 2)
    codes = 0x2800 + (cells * _BRAILLE).sum((2, 3)) if utf else np.where(cells.any((2, 3)), 35, 32)
    return "\n".join("".join(map(chr, row)) for row in codes.tolist())


def _filled(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Give points of a line, so dense that it misses no cell."""
    steps = np.diff(points, axis=0)
    counts = np.maximum(np.ceil(2 * np.abs(steps).max(axis=1, initial=0)).astype(int), 1)
    pieces = [
        start + step * np.arange(count)[:, None] / count
        for start, step, count in zip(points[:-1], steps, counts, strict=True)
    ]
    return np.concatenate([*pieces, points[-1:]])


def _fitted(ink: Ink, side: float) -> list[npt.NDArray[np.float64]]:
    """Give strokes that have points, y down, as large as a square from 0 to `side` and in its middle."""
    # Coordinates as a pen would write them are neither huge nor tiny.
    strokes = [points for points in fit(ink.with_y("down")).strokes if len(points)]
    if not strokes:
        return []
    points = np.concatenate(strokes)
    low = points.min(axis=0)
    size = points.max(axis=0) - low
    extent = float(size.max())
    scale = side / extent if extent > _SMALLEST else 1.0
    return [(stroke - low) * scale + (side - size * scale) / 2 for stroke in strokes]
