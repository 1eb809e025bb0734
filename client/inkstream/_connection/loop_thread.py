"""Runs one event loop in a thread of its own, for all sync clients of a process.

The loop runs as long as the process: grpc.aio shares a completion queue among loops, and closing one loop
with events under way raises "Event loop is closed" in the others. The thread is a daemon, so that a client
that nobody closed does not keep the process alive. A forked child starts its own.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from inkstream._fork import keep

_T = TypeVar("_T")
_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def shared_loop() -> asyncio.AbstractEventLoop:
    """The running loop; the first call starts it. Any thread may call this."""
    global _loop  # noqa: PLW0603 - one for the process is the point
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="inkstream", daemon=True).start()
        return _loop


def is_shared_loop() -> bool:
    """Whether the caller runs in the thread of the loop, which must not block."""
    return _loop is not None and asyncio._get_running_loop() is _loop


def wait_for(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine in the loop, and return or raise what it does.

    Ctrl-C during the wait cancels the coroutine.
    """
    future = asyncio.run_coroutine_threadsafe(coroutine, shared_loop())
    try:
        return future.result()
    finally:
        future.cancel()


def _forget() -> None:
    """In a forked child: the thread is gone, and the lock may have been held."""
    global _lock, _loop
    keep(_loop)
    _lock, _loop = threading.Lock(), None


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget)
