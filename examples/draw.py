"""Draw the examples of this folder: `python examples/draw.py`.

The pen simulator of `inkstream demo` writes them, so they are no person's handwriting.
"""

from __future__ import annotations

from pathlib import Path

from inkstream.cli.writing.pen_simulator import write_digits
from inkstream.ink import Ink, Stroke, write
from PIL import Image, ImageDraw

INK = Path(__file__).with_name("digits.jsonl")
PICTURE = Path(__file__).with_name("seven.png")
_SEED = 7
_SIZE = (240, 320)
_PAPER, _BLUE = (247, 244, 236), (38, 56, 112)
_SCALE = 10
"""Pixels of the picture for one of the pen simulator."""


def digits() -> list[Ink]:
    """Write the ten digits once each, with points of a hundredth of a pixel."""
    return [
        Ink(
            tuple(Stroke.of(points.round(2)) for points in ink.arrays()),
            y=ink.y,
            units=ink.units,
            points_per_second=ink.points_per_second,
            label=ink.label,
            writer="pen simulator",
        )
        for ink in write_digits(10, _SEED)
    ]


def picture(ink: Ink) -> Image.Image:
    """Draw ink as a scan would show it: blue on light paper, off the centre."""
    finer = 4
    sheet = Image.new("RGB", (_SIZE[0] * finer, _SIZE[1] * finer), _PAPER)
    brush = ImageDraw.Draw(sheet)
    radius = 9 * finer
    for points in ink.arrays():
        line = [(x, y) for x, y in ((points * _SCALE + (30, 60)) * finer).tolist()]
        brush.line(line, _BLUE, 2 * radius + 1, "curve")
        for x, y in line:
            brush.ellipse((x - radius, y - radius, x + radius, y + radius), _BLUE)
    return sheet.reduce(finer)


if __name__ == "__main__":
    inks = digits()
    write(INK, inks)
    picture(inks[7]).save(PICTURE, optimize=True)
