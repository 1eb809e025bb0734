"""`inkstream draw`: shows ink beside the 28x28 that the model sees."""

from __future__ import annotations

from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from inkstream import InvalidInk, InvalidRequest
from inkstream._exceptions import FatalError
from inkstream._pens.point_coder import fit
from inkstream.cli.display.gallery import half_blocks
from inkstream.cli.display.ink_pictures import dots, grid, portrait
from inkstream.cli.terminal import EXISTING_FILE, NEW_FILE, count_option, notice, stdout
from inkstream.ink import Ink, read

_Frame = npt.NDArray[np.uint8]
_SIDE = 280
"""Pixels of a picture's sides in the PNG: ten for each of the model's."""
_COLUMNS = 28
"""Characters of a picture in the terminal."""


@click.command()
@click.argument("file", type=EXISTING_FILE)
@count_option("--index", 0, "Number of the first ink to draw, from 0.", low=0)
@count_option("--count", 1, "How many inks to draw.", high=100)
@click.option(
    "--output",
    type=NEW_FILE,
    help="Write a PNG with a labelled grid instead of drawing in the terminal.",
)
@click.option("--ink-only", is_flag=True, help="Do not draw what the model sees.")
def draw(file: Path, index: int, count: int, output: Path | None, ink_only: bool) -> None:
    """Draw the ink in FILE beside the 28x28 pixels that the model sees.

    FILE holds UNIPEN, InkML or JSON Lines, gzipped or not. The code of the server draws the 28x28, so the
    package inkstream-server must be installed here. --ink-only works without it.

    \b
    Examples:
      inkstream draw examples/digits.jsonl
      inkstream draw pendigits-orig.tra.gz --index 40 --count 5 --output digits.png
      inkstream draw digits.inkml --ink-only
    """
    if output is not None and output.suffix.lower() != ".png":
        raise InvalidRequest(f"--output: expected a name that ends in .png, got {output.name!r}")
    inks = list(islice(read(file), index, index + count))
    if not inks:
        if not index:
            raise InvalidInk("the file has no ink: nothing to draw", str(file))
        raise InvalidInk(f"--index: there is no ink {index}, counted from 0", str(file))
    frames = [None if ink_only else _seen_by_model(ink) for ink in inks]
    if output is not None:
        _write_png(output, index, inks, frames)
        return
    console = stdout()
    for number, (ink, frame) in enumerate(zip(inks, frames, strict=True), index):
        console.print(escape(f"{file}[{number}]  {_facts(ink)}"), soft_wrap=True)
        console.print(_beside(ink, frame, console))


def _seen_by_model(ink: Ink) -> _Frame:
    """What the server draws for the model, uint8 of shape (28, 28); blank if the model is not asked."""
    try:
        server: Any = import_module("inkstream_server.ink")
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] != "inkstream_server":
            raise
        raise FatalError(
            "the package inkstream-server draws what the model sees, and it is not installed; "
            "try: pip install inkstream-server, or pass --ink-only"
        ) from None
    fitted = fit(ink)
    tap = server.tap_size(fitted.units)
    frame: _Frame | None = server.model_frame(fitted.strokes, y_up=ink.y == "up", tap=tap)
    return np.zeros((28, 28), np.uint8) if frame is None else frame


def _beside(ink: Ink, frame: _Frame | None, console: Console) -> Table:
    """Give the pictures for the terminal."""
    table = Table.grid(padding=(0, 3))
    is_utf = console.encoding.lower().startswith("utf")
    written = Text(dots(ink, _COLUMNS, utf=is_utf), no_wrap=True)
    if frame is None:
        table.add_row(written)
        table.add_row("as written")
    else:
        table.add_row(written, half_blocks(frame, console))
        table.add_row("as written", _caption(frame))
    return table


def _caption(frame: _Frame) -> str:
    return "as the model sees it" if frame.any() else "a dot at most: the model is not asked"


def _label(ink: Ink) -> str:
    return "no label" if ink.label is None else f"label {ink.label}"


def _facts(ink: Ink) -> str:
    facts = [_label(ink)]
    if ink.writer is not None:
        facts.append(f"writer {ink.writer}")
    strokes, points = len(ink.strokes), sum(map(len, ink.strokes))
    facts.append(f"{strokes} stroke{'s' * (strokes != 1)}, {points} points")
    return ", ".join(facts)


def _write_png(output: Path, index: int, inks: list[Ink], frames: list[_Frame | None]) -> None:
    """Write each ink under its number and label, beside what the model sees of it."""
    cells = []
    for number, (ink, frame) in enumerate(zip(inks, frames, strict=True), index):
        cell = [(f"[{number}] {_label(ink)}", portrait(ink, _SIDE))]
        if frame is not None:
            size = (_SIDE, _SIDE)
            seen = Image.fromarray(frame).resize(size, Image.Resampling.NEAREST)
            cell.append((_caption(frame), seen))
        cells.append(cell)
    try:
        grid(cells).save(output, "PNG")
    except OSError as error:
        raise InvalidInk(f"cannot be written ({error.strerror or error})", str(output)) from error
    notice(f"{output}: {len(inks)} {'ink' if len(inks) == 1 else 'inks'}")
