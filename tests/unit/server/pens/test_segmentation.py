from __future__ import annotations

import pytest
from inkstream_server.pens import segmentation
from inkstream_server.pens.settings import Box, QuietTimes

TIMES = QuietTimes(0.6, 0.25)
BOXES = (Box(4, 0, 0, 10, 10), Box(9, 10, 0, 20, 10))


@pytest.mark.parametrize("digit", range(10))
def test_digits_that_are_rarely_continued_have_the_short_quiet_time(digit: int) -> None:
    wanted = 0.6 if digit in (1, 4, 5, 7) else 0.25
    assert segmentation.quiet_seconds(TIMES, digit) == wanted


def test_a_glyph_without_a_known_digit_has_the_long_quiet_time() -> None:
    assert segmentation.quiet_seconds(TIMES, None) == 0.6


@pytest.mark.parametrize(
    ("ended_ms", "began_ms", "paused"),
    [(1000, 1599, False), (1000, 1600, True), (0, 9999, False), (1000, 0, False), (900, 10, False)],
    ids=["shorter", "as long", "end unknown", "beginning unknown", "a clock that was set back"],
)
def test_a_pause_is_measured_only_between_known_times(
    ended_ms: int, began_ms: int, paused: bool
) -> None:
    assert segmentation.has_paused(TIMES, ended_ms, began_ms) is paused


def test_a_stroke_belongs_to_the_first_box_that_it_begins_in() -> None:
    assert [segmentation.box_at(BOXES, x, 5) for x in (0, 10, 11, 20)] == [4, 4, 9, 9]
    assert segmentation.box_at((), 5, 5) == 0


def test_a_stroke_just_outside_belongs_to_the_glyphs_box_or_to_the_nearest() -> None:
    assert [segmentation.box_at(BOXES, x, 5) for x in (-3, -2, 22, 23)] == [0, 4, 9, 0]
    assert [segmentation.box_at(BOXES, x, -1) for x in (9, 11)] == [4, 9]
    assert [segmentation.box_at(BOXES, x, -1, current=9) for x in (9, 11)] == [9, 9]
    assert segmentation.box_at(BOXES, 2, -1, current=9) == 4
