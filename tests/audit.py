"""Checks all pinned packages against the public database of vulnerabilities: `make audit`."""

from __future__ import annotations

import json
import subprocess
import sys


def main() -> int:
    """Return 1 for a finding, and 0 with a message if the database cannot be reached."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", "constraints.txt", "--no-deps"]
    command += ["--disable-pip", "--progress-spinner", "off", "--format", "json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(ended.stdout)["dependencies"]
    except ValueError:
        print(ended.stderr)
        if "ConnectionError" in ended.stderr or "ServiceError" in ended.stderr:
            print("NOT AUDITED: the database of vulnerabilities cannot be reached from here")
            return 0
        return 1
    # With a mirror without the database, pip-audit skips every package and reports no finding.
    skipped = [it["name"] for it in packages if "skip_reason" in it]
    if len(skipped) == len(packages):
        print(f"NOT AUDITED: none of {len(packages)} packages is in a database that can be reached")
        return 0
    found = [it for it in packages if it.get("vulns")]
    print(
        f"{len(packages) - len(skipped)} packages audited; left out: {', '.join(skipped) or 'none'}"
    )
    for it in found:
        print(f"{it['name']} {it['version']}: {', '.join(bug['id'] for bug in it['vulns'])}")
    return 1 if found else ended.returncode


if __name__ == "__main__":
    raise SystemExit(main())
