"""Shows a few digits in the terminal, two pixels a character."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

_SIDE = 14
"""Width and height shown; each pixel is the mean of two by two."""


def choose(digits: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8], count: int) -> list[int]:
    """Choose images to show: one of each digit, and one mistake at the end if there is any."""
    wrong = np.flatnonzero(digits != labels)
    firsts = [int(np.flatnonzero(labels == digit)[0]) for digit in np.unique(labels)]
    others = [index for index in firsts if digits[index] == labels[index]]
    mistakes = [int(wrong[0])] if len(wrong) else []
    return others[: count - len(mistakes)] + mistakes


def gallery(
    images: npt.NDArray[np.uint8], captions: Sequence[Text], console: Console
) -> list[Table]:
    """Make rows of pictures with captions, as wide as the console.

    The images are uint8 of shape (N, 28, 28), ink high.
    """
    abreast = max(1, min(len(images) or 1, console.width // (_SIDE + 2)))
    rows = []
    for start in range(0, len(images), abreast):
        table = Table.grid(padding=(0, 2))
        shown = images[start : start + abreast]
        table.add_row(*(half_blocks(_small(image), console) for image in shown))
        table.add_row(*captions[start : start + abreast])
        rows.append(table)
    return rows


def half_blocks(image: npt.NDArray[np.floating | np.integer], console: Console) -> Text:
    """Draw grey levels from 0 to 255, ink high, two pixels a character; the height is even."""
    upper, lower = image[0::2], image[1::2]
    picture = Text(no_wrap=True)
    if console.color_system is not None:
        for tops, bottoms in zip(upper, lower, strict=True):
            for top, bottom in zip(tops, bottoms, strict=True):
                picture.append("▀", Style(color=_grey(top), bgcolor=_grey(bottom)))
            picture.append("\n")
        return picture
    blocks = " ▀▄█" if console.encoding.lower().startswith("utf") else " '.:"
    for tops, bottoms in zip(upper > 80, lower > 80, strict=True):
        picture.append("".join(blocks[t + 2 * b] for t, b in zip(tops, bottoms, strict=True)))
        picture.append("\n")
    return picture


def _small(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    small: npt.NDArray[np.float64] = image.reshape(_SIDE, 2, _SIDE, 2).mean(axis=(1, 3))
    return small


def _grey(level: float) -> str:
    return f"#{round(level):02x}{round(level):02x}{round(level):02x}"
