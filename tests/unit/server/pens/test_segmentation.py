from __future__ import annotations

import pytest
from inkstream_server.pens import segmentation
from inkstream_server.pens.settings import QuietTimes

TIMES = QuietTimes(0.6, 0.25)


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
