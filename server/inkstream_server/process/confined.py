"""Runs a module of ours in another process of limited time and memory, where files of others may crash it.

It protects from crashes, endless loops and too much memory. It is no sandbox, because the other process runs
as the same user.
"""

import os
import resource
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any, Final

from inkstream_server.errors import shown
from inkstream_server.process import signals

NICENESS: Final = 10
"""Niceness of the other process, which may share the server's core."""

MOST_OUTPUT: Final = 64 * 1024
"""Most bytes of the other process's output that are kept."""


_NOISE: Final = ("INFO:", "WARNING:", "W0000", "I0000")
"""How lines of the engines' libraries begin that are no errors."""


def start(module: str, *arguments: str, niceness: int = NICENESS) -> subprocess.Popen[bytes]:
    """Start a module as a program, by vfork, which copies nothing of this process.

    The other process inherits no descriptors, and imports from the same places as this one.

    Raises:
        OSError: no process can be started.
    """
    command = [sys.executable, "-P", "-m", module, *arguments]
    # It imports from the same places, and not from the working directory.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with signals.held_back():  # A signal for the log may be sent to all processes of a service.
        process = subprocess.Popen(  # noqa: S603 (our own module)
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            process_group=0,  # Ctrl-C in a terminal is for the server.
        )
    os.setpriority(os.PRIO_PROCESS, process.pid, niceness)
    return process


def communicate(
    process: subprocess.Popen[bytes], seconds: float, heard: Callable[[bytes], object] = bool
) -> tuple[bytes, bytes]:
    """Wait until a process ends, or kill it after `seconds`.

    Args:
        process: from `start`.
        seconds: how long it may take.
        heard: is called with what the process writes to stdout, as it comes.

    Returns: the last `MOST_OUTPUT` bytes that it wrote to stdout and to stderr.

    Raises:
        subprocess.TimeoutExpired: it took longer, and was killed.
    """
    end = monotonic() + seconds
    written: dict[Any, bytes] = {process.stdout: b"", process.stderr: b""}
    with selectors.DefaultSelector() as selector, process:
        for pipe in written:
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, end - monotonic()))
            if not ready and monotonic() >= end:
                process.kill()
                raise subprocess.TimeoutExpired(process.args, seconds)
            for key, _ in ready:
                some = os.read(key.fd, MOST_OUTPUT)
                if not some:
                    selector.unregister(key.fileobj)
                elif key.fileobj is process.stdout:
                    heard(some)
                written[key.fileobj] = (written[key.fileobj] + some)[-MOST_OUTPUT:]
        try:
            process.wait(max(0.0, end - monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return written[process.stdout], written[process.stderr]


def failure(code: int, errors: bytes) -> str:
    """Say how a process ended that gave no answer.

    Args:
        code: its exit code, negative for a signal.
        errors: what it wrote to stderr.
    """
    ended = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
    if code == -signal.SIGKILL:
        ended += ", perhaps because memory was short"
    return f"the process that tried it ended by {ended}{last_line(errors)}"


def last_line(errors: bytes) -> str:
    """Give the last line of a process that tells something, in brackets, or nothing."""
    lines = errors.decode(errors="replace").splitlines()
    last = next((it for it in reversed(lines) if it.strip() and not it.startswith(_NOISE)), "")
    return f" ({shown(last)})" if last else ""


def limit(memory: int, seconds: float) -> None:
    """Limit the time and memory that this process can take, even after the one that started it has died."""
    signal.alarm(int(seconds) + 5)
    # A signal to stop may reach all processes of a service; the server then kills this one.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    least = memory if most == resource.RLIM_INFINITY else min(memory, most)
    resource.setrlimit(resource.RLIMIT_DATA, (least, most))
    with suppress(OSError):  # Linux only.
        # If memory is short, the kernel kills this process and not the server.
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
