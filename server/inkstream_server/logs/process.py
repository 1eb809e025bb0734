"""Makes events of all that a process says on stderr, whatever says it."""

import asyncio
import faulthandler
import io
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TextIO

from inkstream_server.errors import shown
from inkstream_server.logs.lines import MOST_LINE
from inkstream_server.logs.log import KIND, get, limit, output

MOST_NATIVE_BYTES: Final = 1 << 20
"""Most that is read of what native code wrote while a model loaded."""

_WORDS: Final = re.compile(r"[A-Za-z ,]*")
"""The words with which asyncio describes an error. After them may come the arguments of a callback."""

_FAILURE: Final = re.compile(r"\s*([\w.]*(?:Error|Exception|Interrupt|Warning)): .*")
"""The end of a printed traceback, whose text may repeat what a caller sent."""


@contextmanager
def whole_process(*, passes: type[Exception] | tuple[()] = ()) -> Iterator[None]:
    """Log what any code in this process says, until the block ends: one event a line.

    That is what Python code writes to `sys.stderr`, and exceptions that nothing catches, in any thread, in
    finalizers and in the block. For the last it logs `crashed` and raises SystemExit(1). If native code
    crashes, Python writes the stacks of all threads as they are.

    Args:
        passes: exceptions of the block that the caller shows.
    """
    before = sys.stderr
    output.stream = _own_stderr() if sys.stderr is sys.__stderr__ else sys.stderr
    sys.stderr = _Lines(output.stream)
    sys.excepthook = lambda _type, error, _places: _log_failure("crashed", error)
    threading.excepthook = lambda it: _log_failure(
        "thread_failed", it.exc_value, thread=it.thread.name if it.thread else None
    )
    sys.unraisablehook = lambda it: _log_failure(
        "finalizer_failed", it.exc_value, of=getattr(it.object, "__qualname__", None)
    )
    try:
        yield
    except passes:
        raise
    except Exception as error:  # noqa: BLE001 (Python would print any other way)
        get().critical("crashed", exc_info=error)
        raise SystemExit(1) from None
    finally:
        limit.flush()
        # The hooks stay, for what happens while Python ends.
        sys.stderr = before
        output.stream = None


def watch_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Log the errors that an event loop reports, without the arguments of callbacks that it would print."""

    def failed(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        found = _WORDS.match(str(context.get("message")))
        words = found[0].strip() if found else ""
        task = context.get("task") or context.get("future")
        coroutine = task.get_coro() if isinstance(task, asyncio.Task) else None
        of = getattr(coroutine, "__qualname__", None)
        _log_failure(words or "Loop failed", context.get("exception"), logger="asyncio", of=of)

    loop.set_exception_handler(failed)


@contextmanager
def native_stderr() -> Iterator[None]:
    """Log each line that native code writes to stderr within the block, when the block ends.

    LiteRT and TensorFlow write text that Python cannot turn off and a reader of JSON cannot parse. Meanwhile
    descriptor 2 is a file in memory, which takes any amount of text and never blocks a writer. Use it within
    `whole_process`, so that what other threads log is not delayed, and the stacks of a crash are written. Use
    one block at a time. Outside Linux it does nothing.
    """
    if not hasattr(os, "memfd_create"):
        yield
        return
    real = os.dup(2)
    with open(os.memfd_create("stderr"), "rb") as written:  # noqa: PTH123 (a descriptor)
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(real, 2)
            os.close(real)
            written.seek(0)
            text = written.read(MOST_NATIVE_BYTES).decode(errors="replace")
            for line in filter(None, text.splitlines()):
                get().info("native_output", line=line)


def _own_stderr() -> TextIO:
    """Open stderr anew, so that `native_stderr` can move descriptor 2 away; crashes write there, too."""
    try:
        os.fstat(2)
    except (
        OSError
    ):  # Closed by who started the process; otherwise a connection would take its place.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    # Without a buffer, as under `python -u`: what a full disk refuses must not be left for the exit.
    raw: Any = open(os.dup(2), "wb", buffering=0)  # noqa: SIM115, PTH123
    stream = io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)
    faulthandler.enable(stream)
    return stream


def _log_failure(event: str, error: BaseException | None, **values: object) -> None:
    given = {key: shown(value) for key, value in values.items() if value is not None}
    kind = f"{event} {type(error).__qualname__}" if error else event
    get().error(event, exc_info=error, **given, **{KIND: kind})


class _Lines(io.TextIOBase):
    """A `sys.stderr` that logs each line."""

    def __init__(self, real: TextIO) -> None:
        self._real = real
        self._begun = threading.local()

    encoding = "utf-8"

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        """Give the real stderr, for `faulthandler`."""
        return self._real.fileno()

    def write(self, text: str) -> int:
        # Each thread writes its own lines, often in pieces.
        begun = getattr(self._begun, "text", "") + text
        *lines, rest = begun.split("\n")
        if len(rest) > MOST_LINE:
            lines.append(rest)
            rest = ""
        self._begun.text = rest
        for line in filter(str.strip, lines):
            failure = _FAILURE.fullmatch(line)
            get().warning("stderr_output", line=shown(failure[1] if failure else line))
        return len(text)
