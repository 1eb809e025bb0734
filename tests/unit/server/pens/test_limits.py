from __future__ import annotations

import pytest
from inkstream.ink import read
from inkstream_server.pens.limits import PenLimits

from tests.unit.server.ink.glyphs import DATA, needs_data


@needs_data
@pytest.mark.parametrize("file", ["unipen/digits.jsonl.gz", "uji/digits.jsonl.gz"])
def test_no_real_digit_comes_near_the_limits_of_a_glyph(file: str) -> None:
    limits = PenLimits()
    for ink in read(DATA / file):
        arrays = ink.arrays()
        assert 5 * sum(map(len, arrays)) < limits.points_per_glyph
        assert 5 * len(arrays) < limits.strokes_per_glyph
