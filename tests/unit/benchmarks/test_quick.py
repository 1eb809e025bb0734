from __future__ import annotations

import json

from benchmarks import quick


def test_a_quarter_more_than_committed_passes() -> None:
    assert quick.complaints({"a": 1.0}, {"a": 1.25}) == []


def test_more_than_a_quarter_fails_and_names_the_case_and_both_ratios() -> None:
    (output,) = quick.complaints({"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 3.0})
    assert output == "b: committed 2 x the floor, measured 3, 50% more (at most 25%)"


def test_a_case_without_a_committed_ratio_fails() -> None:
    (output,) = quick.complaints({}, {"a": 1.0})
    assert "--update" in output


def test_every_case_has_a_committed_ratio_of_every_processor() -> None:
    for ratios in json.loads(quick.BASELINE.read_text()).values():
        assert set(ratios) == {case.name for case in quick.CASES}


def test_each_processor_has_its_own_ratios_and_a_new_one_the_greatest() -> None:
    baselines = {"this": {"a": 1.0, "b": 5.0}, "that": {"a": 2.0, "b": 3.0}}
    assert quick.committed_for("this", baselines) == {"a": 1.0, "b": 5.0}
    assert quick.committed_for("another", baselines) == {"a": 2.0, "b": 5.0}
    assert quick.committed_for("another", {}) == {}
