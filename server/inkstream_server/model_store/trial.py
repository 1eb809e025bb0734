"""Tries a version in a process of its own, so that a file that crashes an engine crashes no server.

The other process loads the version as a server would and answers with a line of JSON. It protects a server
from crashes, endless loops and too much memory. It is no sandbox, because it runs as the same user.
"""

import asyncio
import json
import os
import resource
import selectors
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any, Final, NoReturn

from inkstream_server.config import ENGINES
from inkstream_server.errors import shown
from inkstream_server.model_store.store import ModelError, load_folder
from inkstream_server.process import signals
from inkstream_server.process.files import aside

NICENESS: Final = 10
"""Niceness of the other process, which may share the server's core."""

MOST_OUTPUT: Final = 64 * 1024
"""Most bytes of the other process's output that are kept."""

MOST_REASON: Final = 2000
"""Most characters of the other process's reason."""

_AGAIN: Final = "export the model again, or touch its card to try it once more"
_NOISE: Final = ("INFO:", "WARNING:", "W0000", "I0000")


async def attempt(folder: Path, engine: str, seconds: float) -> str:
    """Load and try a version in a new process, which inherits no descriptors.

    Kills that process when it is cancelled.

    Args:
        folder: the folder `<name>/<version>`.
        engine: a key of `config.ENGINES`.
        seconds: how long the trial may take.

    Returns: the `Model.digest` of what was tried, for `store.load_folder`.

    Raises:
        ModelError: the version is not sound, crashed the other process, or took too long; says which.
    """
    label = f"{folder.parent.name}/{folder.name}"
    try:
        process = _start(folder, engine, seconds)
    except OSError as error:
        raise ModelError(
            f"{label} cannot be tried, because no process can be started ({error.strerror}): {_AGAIN}"
        ) from error
    try:
        answer, errors = await aside(_communicate, process, seconds)
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            f"{label} took more than {seconds:g} s to load and try: {_AGAIN}; --model-timeout allows a "
            "large model more time"
        ) from error
    except asyncio.CancelledError:
        process.kill()
        raise
    return _outcome(label, process.returncode, answer, errors)


def _start(folder: Path, engine: str, seconds: float) -> subprocess.Popen[bytes]:
    """Start the other process by vfork, which copies nothing of this one."""
    command = [sys.executable, "-P", "-m", __name__, str(folder), engine, str(seconds)]
    # The other process imports from the same places, and not from the working directory.
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
    os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
    return process


def _communicate(process: subprocess.Popen[bytes], seconds: float) -> tuple[bytes, bytes]:
    """Wait until a process ends, or kill it after `seconds`.

    Returns: the last `MOST_OUTPUT` bytes that it wrote to stdout and to stderr.
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
                written[key.fileobj] = (written[key.fileobj] + some)[-MOST_OUTPUT:]
        try:
            process.wait(max(0.0, end - monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return written[process.stdout], written[process.stderr]


def _outcome(label: str, code: int, answer: bytes, errors: bytes) -> str:
    """Give the digest that the other process answered with, or raise how it failed."""
    lines = errors.decode(errors="replace").splitlines()
    last = next((it for it in reversed(lines) if it and not it.startswith(_NOISE)), "")
    last = f" ({shown(last)})" if last else ""
    if code == -signal.SIGKILL:
        raise ModelError(
            f"{label}: the process that tried it was killed{last}, perhaps because memory was short: {_AGAIN}"
        )
    if code < 0:
        raise ModelError(
            f"{label} crashes the engine: the process that tried it ended by {signal.Signals(-code).name}"
            f"{last}; its file is damaged, though it matches its card: export the model again, or remove the "
            "version"
        )
    try:
        kind, text = json.loads(answer)
    except (ValueError, TypeError, RecursionError):
        raise ModelError(
            f"{label}: the process that tried it ended with exit code {code} and no answer{last}: {_AGAIN}"
        ) from None
    if kind != "sound":
        raise ModelError(str(text)[:MOST_REASON])
    return str(text)


def main() -> NoReturn:
    """Run as the other process: load the version that the command line names, and answer on stdout."""
    folder, engine, seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    most_bytes = ENGINES[engine].trial_bytes
    _limit(most_bytes, seconds)
    stdout = os.dup(1)
    os.dup2(2, 1)  # Libraries may print.
    try:
        # Nothing keeps the engine, so that it is freed before the answer: that may crash, too.
        answer = "sound", load_folder(folder, engine).digest
    except ModelError as error:
        answer = "problem", str(error)[:MOST_REASON]
    except MemoryError:
        answer = (
            "problem",
            f"{folder} takes more than {most_bytes >> 20} MB: export a smaller model",
        )
    except Exception as error:  # noqa: BLE001 (a hostile file may cause any error)
        answer = (
            "problem",
            f"{folder} cannot be loaded: {type(error).__name__}: {shown(str(error))}; "
            "export the model again",
        )
    os.write(stdout, json.dumps(answer).encode())
    os._exit(0)


def _limit(memory: int, seconds: float) -> None:
    """Limit the time and memory that a hostile file can take, even after the server has died."""
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


if __name__ == "__main__":
    main()
