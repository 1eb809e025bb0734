from __future__ import annotations

import json

from benchmarks import quick


def test_a_quarter_more_is_granted() -> None:
    assert quick.complaints({"a": 1.0}, {"a": 1.25}) == []


def test_beyond_it_case_and_both_ratios_are_named() -> None:
    (said,) = quick.complaints({"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 3.0})
    assert said == "b: committed 2 x the floor, measured 3, 50% more (at most 25%)"


def test_a_case_that_nobody_committed_to_is_no_pass() -> None:
    (said,) = quick.complaints({}, {"a": 1.0})
    assert "--update" in said


def test_every_case_has_a_committed_ratio() -> None:
    assert set(json.loads(quick.BASELINE.read_text())) == {case.name for case in quick.CASES}
