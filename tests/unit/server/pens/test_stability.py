from __future__ import annotations

import pytest
from inkstream_server.pens.stability import BOUNDS, TABLES, stability


@pytest.mark.parametrize("state", ["interim", "provisional"])
def test_every_digit_and_confidence_has_a_probability(state: str) -> None:
    table = TABLES[state]  # type: ignore[index]
    assert len(table) == 10
    assert all(len(row) == len(BOUNDS) + 1 for row in table)
    assert all(0 <= value <= 1 for row in table for value in row)


def test_confidences_find_their_bin() -> None:
    for digit, row in enumerate(TABLES["provisional"]):
        assert stability("provisional", digit, 0.0) == row[0]
        assert stability("provisional", digit, BOUNDS[0]) == row[1]
        assert stability("provisional", digit, 1.0) == row[-1]


def test_a_final_answer_is_stable_whatever_its_confidence() -> None:
    assert stability("final", 3, 0.2) == 1


def test_a_provisional_answer_lasts_better_than_an_interim_one_of_the_same_confidence() -> None:
    for confidence in (0.6, 0.97, 0.9999):
        early, late = (
            sum(stability(state, digit, confidence) for digit in range(10))
            for state in ("interim", "provisional")
        )
        assert early < late
