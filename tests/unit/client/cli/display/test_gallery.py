from __future__ import annotations

import io

import numpy as np
from inkstream.cli.display.gallery import choose, gallery
from rich.console import Console
from rich.text import Text


def console(*, colour: bool, width: int = 80) -> Console:
    return Console(
        file=io.StringIO(),
        width=width,
        force_terminal=colour,
        color_system="truecolor" if colour else None,
    )


def test_different_digits_are_chosen_and_a_mistake_last() -> None:
    labels = np.array([0, 0, 1, 2, 3, 1], np.uint8)
    digits = np.array([0, 0, 1, 2, 3, 7], np.uint8)
    assert choose(digits, labels, 3) == [0, 2, 5]
    assert choose(labels, labels, 3) == [0, 2, 3]


def test_pictures_stand_side_by_side_if_there_is_room() -> None:
    images = np.zeros((8, 28, 28), np.uint8)
    captions = [Text(str(n)) for n in range(8)]
    assert len(gallery(images, captions, console(colour=False, width=80))) == 2
    assert len(gallery(images, captions, console(colour=False, width=10))) == 8


def test_without_colours_ink_is_drawn_in_blocks() -> None:
    screen = console(colour=False)
    image = np.zeros((28, 28), np.uint8)
    image[:14] = 255
    (row,) = gallery(image[None], [Text("half")], screen)
    screen.print(row)
    assert isinstance(screen.file, io.StringIO)
    lines = screen.file.getvalue().splitlines()
    assert lines[0].startswith("█" * 14)
    assert lines[3].startswith("▀" * 14)
    assert "half" in lines[-1]


def test_with_colours_every_pixel_has_its_grey() -> None:
    screen = console(colour=True)
    (row,) = gallery(np.full((1, 28, 28), 16, np.uint8), [Text("grey")], screen)
    screen.print(row)
    assert isinstance(screen.file, io.StringIO)
    assert "38;2;16;16;16;48;2;16;16;16" in screen.file.getvalue()
