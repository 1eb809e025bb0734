"""Checks all pinned packages against the public database of vulnerabilities: `make audit`.

Ends with 0 if every package was checked and none has a known vulnerability, with 1 for a finding, and with 2
if some package could not be checked: pip-audit itself takes a database that it cannot reach for a clean one.
"""

from __future__ import annotations

import json
import subprocess
import sys

CLEAN, FOUND, NOT_AUDITED = 0, 1, 2
_SHOWN = 10
"""Most packages that a sentence names."""


def main() -> int:
    """Run pip-audit, print what it means, and return the exit code."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", "constraints.txt", "--no-deps"]
    command += ["--disable-pip", "--progress-spinner", "off", "--format", "json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    code, lines = judge(ended.stdout, ended.stderr, ended.returncode)
    print("\n".join(lines))
    return code


def judge(output: str, errors: str, returned: int) -> tuple[int, list[str]]:
    """Say what a run of pip-audit means.

    Args:
        output: its report as JSON, or nothing if it failed.
        errors: what it wrote to stderr.
        returned: its exit code.

    Returns: the exit code, and the lines to print.
    """
    try:
        packages = json.loads(output)["dependencies"]
    except (ValueError, KeyError):
        why = errors.strip() or f"pip-audit ended with {returned} and said nothing"
        return NOT_AUDITED, [
            why,
            "NOT AUDITED: pip-audit gave no report; run it where the database can be reached",
        ]
    skipped = [it["name"] for it in packages if "skip_reason" in it]
    found = [it for it in packages if it.get("vulns")]
    lines = [
        f"{it['name']} {it['version']}: {', '.join(b['id'] for b in it['vulns'])}" for it in found
    ]
    lines.append(f"{len(packages) - len(skipped)} of {len(packages)} packages audited")
    if skipped or not packages:
        more = f" and {len(skipped) - _SHOWN} more" if len(skipped) > _SHOWN else ""
        names = ", ".join(skipped[:_SHOWN]) or "all"
        lines.append(
            f"NOT AUDITED: {names}{more}; run `make audit` where the database of vulnerabilities can be "
            "reached, as a mirror of packages may have none"
        )
    if found:
        return FOUND, lines
    if skipped or not packages:
        return NOT_AUDITED, lines
    return (CLEAN if returned == 0 else NOT_AUDITED), lines


if __name__ == "__main__":
    raise SystemExit(main())
