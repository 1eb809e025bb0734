"""Tries a version in a process of its own, so that bytes that crash an engine end that process and no server.

The other process loads the version as a server would and answers with a line of JSON. It stands between a
server and crashes, endless loops and too much memory; it is no sandbox, for it runs as the same user.
"""

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

from inkstream_server.config import ENGINES
from inkstream_server.model_store.store import ModelError, load_folder

NICENESS: Final = 10
"""How far the other process stands back from the server, whose core it may share."""

_AGAIN: Final = "export the model again, or touch its card to have it tried once more"
_NOISE: Final = ("INFO:", "WARNING:", "W0000", "I0000")


async def attempt(folder: Path, engine: str, seconds: float) -> str:
    """Have a version loaded and tried by another process, started anew and without this one's descriptors.

    Cancelled, it ends that process.

    Args:
        folder: its `<name>/<version>`.
        engine: a key of `config.ENGINES`.
        seconds: how long that may take.

    Returns: the SHA-256 of the file that was tried, for `model_store.load_folder`.

    Raises:
        ModelError: it is not sound, crashed the other process, or took too long; says which.
    """
    label = f"{folder.parent.name}/{folder.name}"
    try:
        process = _start(folder, engine, seconds)
    except OSError as error:
        raise ModelError(
            f"{label} cannot be tried, since no process can be started ({error.strerror}): {_AGAIN}"
        ) from error
    try:
        said, complaints = await asyncio.to_thread(_communicate, process, seconds)
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            f"{label} was not loaded and tried within {seconds:g} s: {_AGAIN}; --model-timeout gives "
            "a large model more time"
        ) from error
    except asyncio.CancelledError:
        process.kill()
        raise
    return _judge(label, process.returncode, said, complaints)


def _start(folder: Path, engine: str, seconds: float) -> subprocess.Popen[bytes]:
    """Start the other process. Nothing of this one is copied (vfork), so that its size does not matter."""
    command = [sys.executable, "-P", "-m", __name__, str(folder), engine, str(seconds)]
    # What is imported there is what would be here, and nothing from the folder that the server runs in.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(  # noqa: S603 (our own module)
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        process_group=0,  # A terminal's Ctrl-C is the server's to heed.
    )
    os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
    return process


def _communicate(process: subprocess.Popen[bytes], seconds: float) -> tuple[bytes, bytes]:
    """Wait for a process to end, and end it when its time is over."""
    try:
        return process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise


def _judge(label: str, code: int, said: bytes, complaints: bytes) -> str:
    """Give the SHA-256 that a process answered with, or say how it failed."""
    lines = complaints.decode(errors="replace").splitlines()
    last = next((it for it in reversed(lines) if it and not it.startswith(_NOISE)), "")
    last = f" ({last:.200})" if last else ""
    if code == -signal.SIGKILL:
        raise ModelError(
            f"{label}: the process that tried it was killed{last}, as for want of memory: {_AGAIN}"
        )
    if code < 0:
        raise ModelError(
            f"{label} crashes the engine: the process that tried it ended by {signal.Signals(-code).name}"
            f"{last}; its file is damaged, though its card agrees: export the model again, or take the "
            "version away"
        )
    try:
        answer = json.loads(said)
    except ValueError:
        raise ModelError(
            f"{label}: the process that tried it ended with exit code {code} and no answer{last}: {_AGAIN}"
        ) from None
    if "problem" in answer:
        raise ModelError(answer["problem"])
    return str(answer["sha256"])


def main() -> NoReturn:
    """Be the other process: load the version that the command line names, and answer on stdout."""
    folder, engine, seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    most_bytes = ENGINES[engine].trial_bytes
    _limit(most_bytes, seconds)
    answer = os.dup(1)
    os.dup2(2, 1)  # Libraries may print.
    try:
        # Nothing holds the engine: it is taken apart before the answer, since that may crash, too.
        said = {"sha256": load_folder(folder, engine).sha256}
    except ModelError as error:
        said = {"problem": str(error)}
    except MemoryError:
        said = {
            "problem": f"{folder} takes more than {most_bytes >> 20} MB: export a smaller model"
        }
    except Exception as error:  # noqa: BLE001 (whatever a hostile file brings about is its fault)
        said = {
            "problem": f"{folder} cannot be loaded: {type(error).__name__}: {error}; "
            "export the model again"
        }
    os.write(answer, json.dumps(said).encode())
    os._exit(0)


def _limit(memory: int, seconds: float) -> None:
    """Bound what a hostile file can have this process do, even after its parent has died."""
    signal.alarm(int(seconds) + 5)
    # All processes of a service may be told to stop; it is the server that ends this one.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    least = memory if most == resource.RLIM_INFINITY else min(memory, most)
    resource.setrlimit(resource.RLIMIT_DATA, (least, most))
    with suppress(OSError):  # Linux only.
        # Where memory is short all the same, the kernel is to end this process and not the server.
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


if __name__ == "__main__":
    main()
