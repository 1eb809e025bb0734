"""Reads files that others can write while the server runs: regular files only, and never more than a limit.

A pipe or a device in place of a file would hold up the process, and a huge file would fill its memory. Links
are followed, because orchestrators mount settings, secrets and models as links.
"""

import asyncio
import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

_T = TypeVar("_T")


def read_regular(path: Path, most_bytes: int) -> bytes:
    """Read a whole file. Waits for no other process, and takes at most `most_bytes` of memory.

    Raises:
        OSError: the file does not exist or cannot be read, is no regular file, is larger than `most_bytes`,
            or grows meanwhile. `strerror` says which, `filename` is the path.
    """
    # Looks before it opens, because opening a device can change its state.
    _require_regular(path, path.stat(), most_bytes)
    # O_NONBLOCK: a pipe that took the file's place in between opens at once and is refused below.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123 (a descriptor)
        found = os.fstat(descriptor)
        _require_regular(path, found, most_bytes)
        content = file.read(found.st_size + 1)
    # Some files of /proc give more than their size, or nothing for now.
    if content is None or len(content) > found.st_size:
        raise OSError(errno.EAGAIN, "it grew while it was read", str(path))
    return content


async def aside(function: Callable[..., _T], *arguments: object) -> _T:
    """Run a function in a thread that nothing waits for at the exit of the process.

    Use it where a file system may not answer. `asyncio.to_thread` would delay the exit until it does. When it
    is cancelled, the thread goes on, and its result is dropped.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_T] = loop.create_future()

    def run() -> None:
        try:
            result = copied.run(function, *arguments)
        except BaseException as error:  # noqa: BLE001 (the caller gets it)
            settle(done.set_exception, error)
        else:
            settle(done.set_result, result)

    def settle(act: Callable[[Any], None], outcome: object) -> None:
        with suppress(RuntimeError):  # The event loop is closed: nobody waits.
            loop.call_soon_threadsafe(lambda: None if done.done() else act(outcome))

    copied = copy_context()
    Thread(target=run, name=getattr(function, "__name__", "aside"), daemon=True).start()
    return await done


def _require_regular(path: Path, found: os.stat_result, most_bytes: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    if found.st_size > most_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {most_bytes} bytes", str(path))
