"""Which core a process runs on."""

import os
from pathlib import Path

from inkstream_server.errors import StartError


def pin(number: int) -> None:
    """Keep this process on the core that is `number` in the list of those it may use.

    Threads that already run move, too: numpy starts some when it is imported.

    Raises:
        StartError: there is no such core, or the system is not Linux.
    """
    core = {_cores(number + 1)[number]}
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), core)


def require_cores(count: int) -> None:
    """Check that `count` processes can have a core each.

    Raises:
        StartError: they cannot.
    """
    _cores(count)


def _cores(count: int) -> list[int]:
    if not hasattr(os, "sched_getaffinity"):
        raise StartError("pin: only Linux can keep a process on a core: leave out --pin")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < count:
        raise StartError(
            f"pin: {count} workers need {count} cores of their own, and this process may use "
            f"{len(cores)}: lower --workers or leave out --pin"
        )
    return cores
