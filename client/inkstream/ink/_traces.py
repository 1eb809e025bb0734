"""The text of an InkML trace: points separated by commas, their values absolute or as differences.

A prefix sets the meaning of a channel's values until its next prefix: `!` the value itself, `'` the
difference to the value before, `"` the difference to the difference before (InkML, section 3.2.1).
"""

from __future__ import annotations

import re

import numpy as np

from inkstream.ink._errors import InvalidInk
from inkstream.ink._ink import Column

_VALUE = re.compile(
    r"""\s*([!'"]?)\s*([-+]?\s*(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|\#[0-9A-Fa-f]+|[*?TF])"""
)
_TRUTH = {"T": 1.0, "F": 0.0}


def points_of(text: str, channels: int, most: int) -> Column:
    """Give the points of a trace.

    Args:
        text: as it stands between <trace> and </trace>.
        channels: values per point.
        most: points allowed.

    Returns: float64 of shape (n, channels).

    Raises:
        InvalidInk: the text is not a trace of so many channels, or has more points.
    """
    # A comma at the end is common, though the grammar does not allow it.
    text = text.strip().removesuffix(",")
    if not text:
        return np.empty((0, channels))
    rows = text.split(",")
    if len(rows) > most:
        raise InvalidInk(f"expected at most {most} points per trace, got {len(rows)}")
    if set(text) <= _PLAIN:
        try:
            cells = [row.split() for row in rows]
            return np.array(cells, np.float64).reshape(len(rows), channels)
        except ValueError:
            # Values may also touch, as in "3-5": `_decoded` reads those, and raises the errors.
            pass
    return _decoded(rows, channels)


#: If a text holds nothing else, every value is absolute.
_PLAIN = frozenset("0123456789.- \t\r\n,")


def _decoded(rows: list[str], channels: int) -> Column:
    points = np.empty((len(rows), channels))
    modes = ["!"] * channels
    values, steps = [0.0] * channels, [0.0] * channels
    for number, row in enumerate(rows):
        found = _split(row, number)
        if len(found) != channels:
            raise InvalidInk(f"point {number}: expected {channels} values, got {len(found)}")
        for channel, (prefix, word) in enumerate(found):
            mode = modes[channel] = prefix or modes[channel]
            if word == "*":
                # The value before, in every mode.
                value = values[channel]
            elif mode == "!" or word in _TRUTH:
                value = _number(word, number)
            else:
                step = _number(word, number) + (steps[channel] if mode == '"' else 0.0)
                value = values[channel] + step
            steps[channel], values[channel] = value - values[channel], value
            points[number, channel] = value
    return points


def _split(row: str, number: int) -> list[tuple[str, str]]:
    """The prefixes and values of a point."""
    found, position = [], 0
    row = row.rstrip()
    while position < len(row):
        value = _VALUE.match(row, position)
        if value is None:
            raise InvalidInk(f"point {number}: no value at {row[position : position + 20]!r}")
        found.append((value[1], value[2]))
        position = value.end()
    return found


def _number(word: str, number: int) -> float:
    if word == "?":
        raise InvalidInk(f"point {number}: expected a number, got ? (unknown)")
    if word in _TRUTH:
        return _TRUTH[word]
    return float(int(word[1:], 16)) if word[0] == "#" else float("".join(word.split()))
