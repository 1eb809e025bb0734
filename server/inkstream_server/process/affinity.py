"""Pins a process to a core."""

import os
from pathlib import Path

from inkstream_server.errors import StartError


def pin(number: int) -> None:
    """Keep this process on one core: entry `number` of the cores that it may use.

    Moves the threads that already run, too: numpy starts some when it is imported.

    Raises:
        StartError: there is no such core, or the system is not Linux.
    """
    core = {_cores(number + 1)[number]}
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), core)


def require_cores(count: int) -> None:
    """Check that there is a core for each of `count` processes.

    Raises:
        StartError: there are fewer cores.
    """
    _cores(count)


def _cores(count: int) -> list[int]:
    if not hasattr(os, "sched_getaffinity"):
        raise StartError("pin: only Linux can pin a process to a core: leave out --pin")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < count:
        raise StartError(
            f"pin: {count} workers need {count} cores of their own, and this process may use "
            f"{len(cores)}: lower --workers or leave out --pin"
        )
    return cores
