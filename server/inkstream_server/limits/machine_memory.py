"""How much memory this process may use: by its control groups, or else the machine's."""

import os
from pathlib import Path
from typing import Final

from inkstream_server.config import Config
from inkstream_server.limits.memory_book import MemoryLimits

SHARE: Final = 0.75
"""Part of that which callers may take; the rest is for the program itself, the model, and what the allocator
keeps."""

_PROC: Final = Path("/proc")
_CGROUPS: Final = Path("/sys/fs/cgroup")


def memory_limits(config: Config) -> MemoryLimits:
    """Give the limits that the settings of a process name."""
    return MemoryLimits(
        process=config.max_memory or share(config.workers),
        connection=config.max_connection_memory,
        stream=config.max_stream_memory,
    )


def share(workers: int, proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int:
    """Give the memory that each of some worker processes may use, in bytes.

    Args:
        workers: how many processes share what there is.
        proc: where the kernel tells of processes and memory.
        cgroups: where the control groups lie.
    """
    return int(SHARE * available(proc, cgroups)) // workers


def available(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int:
    """Give the least of the machine's memory and the limits of the process's control groups, in bytes."""
    limits = [_machine(proc), *_cgroup_limits(proc, cgroups)]
    return min(limits)


def _machine(proc: Path) -> int:
    try:
        lines = (proc / "meminfo").read_text().splitlines()
    except OSError:  # Not Linux.
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    (line,) = (line for line in lines if line.startswith("MemTotal:"))
    return int(line.split()[1]) * 1024


def _cgroup_limits(proc: Path, cgroups: Path) -> list[int]:
    """Read `memory.max` (v2) or `memory.limit_in_bytes` (v1) of the process's group and those above it.

    In a container the path that the process sees may not exist: the group is then the root that is mounted.
    """
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return []  # A kernel without control groups.
    limits: list[int] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root, name = (
            (cgroups / "memory", "memory.limit_in_bytes")
            if controllers
            else (cgroups, "memory.max")
        )
        group = Path(path.lstrip("/"))
        limits += [
            limit
            for above in (group, *group.parents)
            if (limit := _limit(root / above / name)) is not None
        ]
    return limits


def _limit(file: Path) -> int | None:
    """Read one limit in bytes; None where there is none."""
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None
