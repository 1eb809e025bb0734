"""The memory that a process may use, in machines and control groups of all kinds."""

from __future__ import annotations

from pathlib import Path

import pytest
from inkstream_server.config import Config
from inkstream_server.limits.machine_memory import available, memory_limits, share

MIB = 2**20


def machine(folder: Path, cgroup: str | None, **limits: str) -> tuple[Path, Path]:
    """Make the files of a kernel: 1000 MiB, the process's groups, and files of limits by their path."""
    proc, cgroups = folder / "proc", folder / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text(f"MemTotal:     {1000 * 1024} kB\nMemFree:   1 kB\n")
    if cgroup is not None:
        (proc / "self" / "cgroup").write_text(cgroup)
    for path, limit in limits.items():
        file = cgroups / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(limit + "\n")
    return proc, cgroups


@pytest.mark.parametrize(
    ("cgroup", "limits", "mib"),
    [
        (None, {}, 1000),
        ("0::/\n", {}, 1000),
        ("0::/\n", {"memory.max": "max"}, 1000),
        ("0::/\n", {"memory.max": str(300 * MIB)}, 300),
        ("0::/a/b\n", {"a/memory.max": str(200 * MIB), "a/b/memory.max": "max"}, 200),
        ("0::/a/b\n", {"memory.max": str(100 * MIB)}, 100),  # A container's own root.
        ("0::/\n", {"memory.max": str(2**60)}, 1000),
        ("5:cpu:/x\n4:memory:/c\n", {"memory/c/memory.limit_in_bytes": str(50 * MIB)}, 50),
        ("4:memory:/c\n", {"memory/memory.limit_in_bytes": str(60 * MIB)}, 60),
        ("4:memory:/c\n", {"memory/c/memory.limit_in_bytes": "9223372036854771712"}, 1000),
    ],
)
def test_the_least_limit_counts(
    cgroup: str | None, limits: dict[str, str], mib: int, tmp_path: Path
) -> None:
    proc, cgroups = machine(tmp_path, cgroup, **limits)
    assert available(proc, cgroups) == mib * MIB


def test_workers_share_what_there_is(tmp_path: Path) -> None:
    assert share(3, *machine(tmp_path, None)) == 250 * MIB


def test_a_setting_goes_before_what_the_machine_has() -> None:
    config = Config(max_memory=300 * MIB, max_connection_memory=20 * MIB, max_stream_memory=9 * MIB)
    limits = memory_limits(config)
    assert (limits.process, limits.connection, limits.stream) == (300 * MIB, 20 * MIB, 9 * MIB)
    assert memory_limits(Config(workers=2)).process == share(2) > 0
