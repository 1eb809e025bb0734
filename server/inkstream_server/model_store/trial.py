"""Tries a version in a process of its own, so that a file that crashes an engine crashes no server.

The other process loads the version as a server would and answers with a line of JSON.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final, NoReturn

from inkstream_server.config import ENGINES
from inkstream_server.errors import shown
from inkstream_server.model_store.store import ModelError, load_folder
from inkstream_server.process import confined
from inkstream_server.process.files import aside

MOST_REASON: Final = 2000
"""Most characters of the other process's reason."""

_AGAIN: Final = "export the model again, or touch its card to try it once more"


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
        process = confined.start(__name__, str(folder), engine, str(seconds))
    except OSError as error:
        raise ModelError(
            f"{label} cannot be tried, because no process can be started ({error.strerror}): {_AGAIN}"
        ) from error
    try:
        answer, errors = await aside(confined.communicate, process, seconds)
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            f"{label} took more than {seconds:g} s to load and try: {_AGAIN}; --model-timeout allows a "
            "large model more time"
        ) from error
    except asyncio.CancelledError:
        process.kill()
        raise
    return _outcome(label, process.returncode, answer, errors)


def _outcome(label: str, code: int, answer: bytes, errors: bytes) -> str:
    """Give the digest that the other process answered with, or raise how it failed."""
    last = confined.last_line(errors)
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
    confined.limit(most_bytes, seconds)
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


if __name__ == "__main__":
    main()
