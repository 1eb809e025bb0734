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
    if not hasattr(os, "sched_getaffinity"):
        raise StartError("pin: only Linux can keep a process on a core: leave out --pin")
    cores = sorted(os.sched_getaffinity(0))
    if number >= len(cores):
        raise StartError(
            f"pin: core number {number + 1} of {len(cores)} that this process may use was asked for: "
            "lower --workers or leave out --pin"
        )
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), {cores[number]})
