from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from inkstream_server.engines import Frames, Probabilities
from inkstream_server.model_store import network
from inkstream_server.model_store.network import measure_row_ns


class TimedEngine:
    """An engine whose batches take the times of a list, on a clock of its own."""

    name, in_place_rows = "timed", 256

    def __init__(self, max_rows: int, times_ns: Sequence[int]) -> None:
        self.max_rows = max_rows
        self.pixels = np.zeros((0, 784), np.float32)
        self.sizes: list[int] = []
        self.now = 0
        self._times = iter(times_ns)

    def infer(self, blocks: Sequence[Frames]) -> Probabilities:
        self.sizes.append(sum(map(len, blocks)))
        self.now += next(self._times)
        return np.full((self.sizes[-1], 10), 0.1, np.float32)


@pytest.mark.parametrize(
    ("max_rows", "times_ns", "expected"),
    [
        (256, [6400, 900_000, 12_800, 7000, 6500], 100),
        (16, [6400] * 5, 400),
        (256, [63] * 5, 1),
    ],
)
def test_a_row_costs_what_it_takes_in_the_fastest_of_several_large_batches(
    monkeypatch: pytest.MonkeyPatch, max_rows: int, times_ns: list[int], expected: int
) -> None:
    engine = TimedEngine(max_rows, times_ns)
    monkeypatch.setattr(network, "perf_counter_ns", lambda: engine.now)
    assert measure_row_ns(engine, np.zeros((10, 784), np.uint8)) == expected
    assert engine.sizes == [min(64, max_rows)] * 5
