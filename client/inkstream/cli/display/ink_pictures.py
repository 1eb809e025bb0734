"""Draws ink for people to look at. What models see is drawn by the server, and not quite so."""

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
"""Of the strokes, in the order of writing."""
_FINER = 4
"""Pixels drawn for one that is shown: Pillow's lines have hard edges."""
_BRAILLE = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""Bits of a Braille character's dots, from U+2800 on (Unicode, Braille Patterns)."""
_SMALLEST = 1e-12
"""Longest side of a dot."""
_MOST_POINTS = 400
"""Points of a thumbnail; more cannot be seen."""
_CAPTION = 28
"""Pixels of a caption's height in a grid."""
_GAP = 20
"""Pixels between the columns of a grid."""


def thumbnail(ink: Ink) -> npt.NDArray[np.uint8]:
    """Draw ink the way MNIST's digits look; uint8 of shape (28, 28), ink high. About a millisecond."""
    strokes = _upright(ink)
    if not strokes:
        return np.zeros((28, 28), np.uint8)
    low, extent = _extent(strokes)
    step = max(1, sum(map(len, strokes)) // _MOST_POINTS)
    placed = [(stroke[::step] - low) * (17.6 / extent) + 1.2 for stroke in strokes]
    # A dot is a line from itself to itself.
    return draw_strokes([np.repeat(s, 2, axis=0) if len(s) == 1 else s for s in placed], 2.4)


def portrait(ink: Ink, side: int) -> Image.Image:
    """Draw ink as it was written: a colour for each stroke, a ring where it begins.

    Args:
        ink: any; what is too long for the square is scaled to fit.
        side: pixels of the square.
    """
    big = Image.new("RGB", (side * _FINER, side * _FINER), "white")
    strokes = _upright(ink)
    if strokes:
        low, extent = _extent(strokes)
        margin, pen = side * _FINER * 0.08, max(2, side * _FINER // 90)
        scale = (side * _FINER - 2 * margin) / extent
        size = np.concatenate(strokes).max(axis=0) - low
        offset = margin + (extent - size) * scale / 2
        brush = ImageDraw.Draw(big)
        for number, stroke in enumerate(strokes):
            colour = _COLOURS[number % len(_COLOURS)]
            points = [(x, y) for x, y in ((stroke - low) * scale + offset).tolist()]
            brush.line(points, colour, pen, "curve")
            for x, y in points:
                brush.ellipse((x - pen, y - pen, x + pen, y + pen), colour)
            x, y = points[0]
            ring = pen * 3
            brush.ellipse((x - ring, y - ring, x + ring, y + ring), None, colour, max(1, pen // 2))
    return big.resize((side, side), Image.Resampling.LANCZOS)


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
    """Draw ink as lines of text, `columns` wide and half as many high.

    Args:
        ink: any.
        columns: width in characters, even.
        utf: draw with Braille's dots, eight a character; else with one number sign a character.
    """
    across, along = (2, 4) if utf else (1, 1)
    grid = np.zeros((columns // 2 * along, columns * across), bool)
    strokes = _upright(ink)
    if strokes:
        height, width = grid.shape
        # Characters are twice as high as wide: Braille's dots are as far apart both ways.
        shape = np.array([1.0, 1.0 if utf else 0.5])
        low, extent = _extent(strokes)
        scale = (min(width, height / shape[1]) - 1) / extent * shape
        size = (np.concatenate(strokes).max(axis=0) - low) * scale
        offset = (np.array([width - 1, height - 1]) - size) / 2
        for stroke in strokes:
            x, y = np.rint(_filled((stroke - low) * scale + offset)).astype(int).T
            grid[y, x] = True
    cells = grid.reshape(columns // 2, along, columns, across).swapaxes(1, 2)
    if not utf:
        return "\n".join("".join(" #"[int(cell.any())] for cell in row) for row in cells)
    return "\n".join(
        "".join(chr(0x2800 + int((cell * _BRAILLE).sum())) for cell in row) for row in cells
    )


def _filled(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Points of a line, so dense that none of its cells is left out."""
    steps = np.diff(points, axis=0)
    counts = np.maximum(np.ceil(2 * np.abs(steps).max(axis=1, initial=0)).astype(int), 1)
    pieces = [
        start + step * np.arange(count)[:, None] / count
        for start, step, count in zip(points[:-1], steps, counts, strict=True)
    ]
    return np.concatenate([*pieces, points[-1:]])


def _upright(ink: Ink) -> list[npt.NDArray[np.float64]]:
    """Strokes that have points, y down; as a pen would write them, so that no coordinate is huge or tiny."""
    return [points for points in fit(ink.with_y("down")).strokes if len(points)]


def _extent(strokes: list[npt.NDArray[np.float64]]) -> tuple[npt.NDArray[np.float64], float]:
    """The corner with the smallest x and y, and the longest side; 1 for a dot."""
    points = np.concatenate(strokes)
    low = points.min(axis=0)
    extent = float((points.max(axis=0) - low).max())
    return low, extent if extent > _SMALLEST else 1.0
