"""The pace at which recorded ink is written."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner
from inkstream.cli.app import app
from inkstream.cli.writing.player import pause_seconds, point_seconds
from inkstream.ink import Stroke


def timed(*t_ms: float) -> Stroke:
    return Stroke(np.arange(len(t_ms)), np.zeros(len(t_ms)), t_ms)  # type: ignore[arg-type]


def test_times_of_the_file_are_kept_except_long_gaps_and_steps_back() -> None:
    stroke = timed(500, 510, 505, 10_000)
    assert point_seconds(stroke, 50).tolist() == pytest.approx([0, 0.01, 0.01, 2.01])


@pytest.mark.parametrize(("rate", "believed"), [(50, 50), (None, 100), (10, 100)])
def test_without_times_a_plausible_rate_is_used(rate: float | None, believed: float) -> None:
    stroke = Stroke.of(np.zeros((5, 2)))
    assert point_seconds(stroke, rate).tolist() == pytest.approx([n / believed for n in range(5)])


def test_the_pause_between_strokes_is_that_of_the_file_up_to_a_limit() -> None:
    assert pause_seconds(timed(0, 100), timed(350)) == pytest.approx(0.25)
    assert pause_seconds(timed(0, 100), timed(50)) == 0
    assert pause_seconds(timed(0), timed(1e9)) == 2
    assert pause_seconds(timed(0), Stroke.of([(0, 0)])) == pytest.approx(0.15)


@pytest.mark.parametrize("speed", ["slow", "0", "-1", "nan", "inf"])
def test_an_invalid_speed_is_rejected(speed: str) -> None:
    ended = CliRunner().invoke(app, ["replay", __file__, "--speed", speed])
    assert ended.exit_code == 2
    assert "factor such as 4" in ended.output
