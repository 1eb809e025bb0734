from __future__ import annotations

import pytest
from inkstream_server.process.budget import BURST_SECONDS, SHARE, Budget


def test_a_thread_is_held_back_to_its_share_of_a_core() -> None:
    budget, now, used = Budget(), 100.0, 0.0
    while now < 200.0:
        now += max(0.0, budget.rest(now)) + 0.01
        used += 0.01
        budget.charge(used, now)
    assert used == pytest.approx(BURST_SECONDS + 100 * SHARE, rel=0.1)


def test_a_rest_gives_one_burst_however_long_it_was() -> None:
    budget = Budget()
    assert budget.rest(0.0) <= 0
    budget.charge(BURST_SECONDS, 1e6)
    assert budget.rest(1e6) == 0
    budget.charge(BURST_SECONDS + 0.5, 1e6)
    assert budget.rest(1e6) == pytest.approx(0.5 / SHARE)
