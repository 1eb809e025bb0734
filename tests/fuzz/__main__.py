"""Fuzzes all code that reads untrusted bytes, guided by coverage: `make fuzz ARGS="--seconds 300"`.

Each target runs in its own process. A crash, an input that takes longer than a target may, or more
memory than it may ends the run with exit code 1 and prints the input.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

TARGETS = ("wire", "ink_session", "ink_files", "idx", "keras_archive", "tflite", "card", "tokens")
HANG_SECONDS = 20
MOST_MB = 3072


def main() -> int:
    options = argparse.ArgumentParser(prog="make fuzz")
    options.add_argument("--seconds", type=int, default=60, help="how long, each target")
    options.add_argument("--only", choices=TARGETS, help="one target instead of all")
    options.add_argument("--findings", type=Path, default=Path("plots/fuzz"), help="where they go")
    chosen = options.parse_args()
    chosen.findings.mkdir(parents=True, exist_ok=True)
    targets = [chosen.only] if chosen.only else TARGETS
    return max([fuzz(target, chosen.seconds, chosen.findings) for target in targets])


def fuzz(target: str, seconds: int, findings: Path) -> int:
    """Run one target and print its result; return 1 for a finding."""
    command = [sys.executable, "-m", f"tests.fuzz.{target}", f"-max_total_time={seconds}"]
    command += [f"-timeout={HANG_SECONDS}", f"-rss_limit_mb={MOST_MB}", "-max_len=4096"]
    command += [f"-artifact_prefix={findings}/{target}-", "-print_final_stats=1"]
    before = {*findings.iterdir()}
    ended = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    lines = ended.stderr.splitlines() + ended.stdout.splitlines()
    counts = [line.split()[-1] for line in lines if "number_of_executed_units" in line]
    print(f"{target}: {counts[-1] if counts else 'no'} executions, exit code {ended.returncode}")
    if ended.returncode == 0 and counts:
        return 0
    print("\n".join(lines[-60:]))
    for found in sorted({*findings.iterdir()} - before):
        print(f"{found}: {found.read_bytes()!r}")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
