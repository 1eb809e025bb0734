from __future__ import annotations

from benchmarks.cases.cases import CASES
from benchmarks.cases.targets import TARGETS


def test_every_target_names_a_case() -> None:
    assert {target.case for target in TARGETS} <= {case.name for case in CASES}
