from __future__ import annotations

import pytest
from numpy import linspace

from benchmarks.load.figures import INKSTREAM, P50, RATE, RAW, percentiles_ms, ratio
from tests.unit.benchmarks.results import ROUNDS


def test_a_ratio_compares_figures_of_the_same_round() -> None:
    assert ratio(ROUNDS[INKSTREAM], ROUNDS[RAW], RATE) == pytest.approx(1.1)


def test_percentiles_are_milliseconds() -> None:
    assert percentiles_ms(linspace(0, 1, 1001))[P50] == pytest.approx(500)
