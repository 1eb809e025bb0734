"""`make audit` fails when it finds something, and when it could not look."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.audit import CLEAN, FOUND, NOT_AUDITED, judge

GOOD = {"name": "click", "version": "8.5.1", "vulns": []}
BAD = {"name": "pillow", "version": "1.0", "vulns": [{"id": "CVE-1"}, {"id": "CVE-2"}]}
SKIPPED = {"name": "numpy", "skip_reason": "Dependency not found and could not be audited"}


def report(*packages: dict[str, Any]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


def test_packages_without_known_vulnerabilities_pass() -> None:
    assert judge(report(GOOD), "", 0) == (CLEAN, ["1 of 1 packages audited"])


def test_a_vulnerability_fails_and_is_named() -> None:
    code, lines = judge(report(GOOD, BAD), "", 1)
    assert (code, lines[0]) == (FOUND, "pillow 1.0: CVE-1, CVE-2")


@pytest.mark.parametrize(
    ("output", "errors", "returned"),
    [
        (report(SKIPPED), "No known vulnerabilities found", 0),
        (report(GOOD, SKIPPED), "", 0),
        (report(), "", 0),
        ("", "ConnectionError: network is unreachable", 1),
        ("{}", "", 0),
        ("not JSON", "", 0),
        (report(GOOD), "it failed at the end", 3),
    ],
    ids=["none known", "one unknown", "no package", "no network", "no list", "no JSON", "failed"],
)
def test_what_could_not_be_checked_fails(output: str, errors: str, returned: int) -> None:
    code, lines = judge(output, errors, returned)
    assert code == NOT_AUDITED
    assert lines


def test_a_missing_database_is_said_in_a_sentence() -> None:
    _, lines = judge(report(GOOD, SKIPPED), "", 0)
    assert lines[-1].startswith("NOT AUDITED: numpy; run `make audit` where the database")


def test_a_finding_outweighs_what_was_not_checked() -> None:
    code, lines = judge(report(SKIPPED, BAD), "", 1)
    assert code == FOUND
    assert any("NOT AUDITED" in line for line in lines)
