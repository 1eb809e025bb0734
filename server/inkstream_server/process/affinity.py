"""Pins a process to a core."""

import os
from pathlib import Path

from inkstream_server.errors import StartError


def pin(number: int) -> None:
    """Keep this process on core `number` of those that it may use.

    Moves the threads that already run, too: numpy starts some when it is imported.

    Raises:
        StartError: see `cores`.
    """
    core = {cores(number + 1)[number]}
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), core)


def cores(count: int) -> list[int]:
    """Give the cores that this process may use, in order.

    Raises:
        StartError: there are fewer than `count`, or the system is not Linux.
    """
    if not hasattr(os, "sched_getaffinity"):
        raise StartError("pin: only Linux can pin a process to a core: leave out --pin")
    found = sorted(os.sched_getaffinity(0))
    if len(found) < count:
        raise StartError(
            f"pin: {count} workers need {count} cores of their own, and this process may use "
            f"{len(found)}: lower --workers or leave out --pin"
        )
    return found
