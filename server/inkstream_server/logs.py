"""Structured logs on stderr, for operators: one event a line, and never a line for each item."""

import asyncio
import faulthandler
import io
import itertools
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog

LEVELS = ("debug", "info", "warning", "error")
"""From the most to the least output."""

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_streams = itertools.count(1)


def configure(log_format: str, log_level: str, **always: object) -> None:
    """Set up logging for the process, including libraries that use `logging`.

    Args:
        log_format: "text" (`event key=value`) or "json" (one object a line).
        log_level: lowest level that is written.
        always: further keys of every line.
    """
    as_text = structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"])
    lossy = _Lossy()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            lambda _logger, _method, event: {**event, **always},
            structlog.processors.JSONRenderer() if log_format == "json" else as_text,
        ],
        logger_factory=lambda *_: lossy,
    )
    _threshold.set(LEVELS.index(log_level))
    logging.getLogger().addHandler(_of_libraries)
    logging.captureWarnings(True)


def shift_on_signals(loop: asyncio.AbstractEventLoop, also: Callable[[int], object] = int) -> None:
    """Log one level more on each SIGUSR1, and one level less on each SIGUSR2.

    Args:
        loop: the running event loop of the main thread, which alone receives signals.
        also: called with the number of the signal, to pass it on.
    """
    for number, steps in ((signal.SIGUSR1, -1), (signal.SIGUSR2, 1)):
        loop.add_signal_handler(number, _shift, number, steps, also)


def about_stream(peer: str, metadata: Iterable[tuple[str, str | bytes]]) -> None:
    """Add the stream to all lines of the running task and of the tasks that it starts.

    Adds the number of the stream in this process, its peer, and the trace in the caller's `traceparent` (W3C
    Trace Context).
    """
    keys: dict[str, object] = {"stream": next(_streams), "peer": peer}
    for key, value in metadata:
        found = _TRACEPARENT.fullmatch(str(value)) if key == "traceparent" else None
        if found is not None:
            keys["trace_id"] = found[1]
    structlog.contextvars.bind_contextvars(**keys)


def get() -> "structlog.typing.FilteringBoundLogger":
    """Give a logger: `get().info("ready", address=...)`."""
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return log


@contextmanager
def native_stderr() -> Iterator[None]:
    """Log each line that native code writes to stderr within the block, when the block ends.

    LiteRT and TensorFlow write text that Python cannot turn off and a reader of JSON cannot parse. Meanwhile
    descriptor 2 is a file in memory, which takes any amount of text and never blocks a writer. Python's own
    `sys.stderr` moves to another descriptor for good: what other threads log is not delayed, and where native
    code crashes, `faulthandler` writes the stacks. Use one block at a time. Outside Linux it does nothing.
    """
    if not hasattr(os, "memfd_create"):
        yield
        return
    if sys.stderr is sys.__stderr__:
        # Without a buffer, as under `python -u`: what a full disk refuses must not be left for the exit.
        raw: Any = open(os.dup(2), "wb", buffering=0)  # noqa: SIM115, PTH123
        sys.stderr = io.TextIOWrapper(raw, errors="backslashreplace", write_through=True)
        faulthandler.enable()
    real = os.dup(2)
    with open(os.memfd_create("stderr"), "rb") as written:  # noqa: PTH123 (a descriptor)
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(real, 2)
            os.close(real)
            written.seek(0)
            for line in filter(None, written.read().decode(errors="replace").splitlines()):
                get().info("native_output", line=line)


class _Threshold:
    """The lowest level that is written, as its place in `LEVELS`."""

    def __init__(self) -> None:
        self.place = LEVELS.index("info")

    def set(self, place: int) -> None:
        self.place = min(max(place, 0), len(LEVELS) - 1)
        level = logging.getLevelNamesMapping()[LEVELS[self.place].upper()]
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))
        logging.getLogger().setLevel(max(level, _of_libraries.level))


_threshold = _Threshold()


def _shift(number: int, steps: int, also: Callable[[int], object]) -> None:
    _threshold.set(_threshold.place + steps)
    # Confirms the signal, at any level and in every process.
    everything = structlog.make_filtering_bound_logger(logging.NOTSET)
    structlog.wrap_logger(None, wrapper_class=everything).info(
        "log_level", least=LEVELS[_threshold.place]
    )
    also(number)


class _OfLibraries(logging.Handler):
    """Passes records of `logging` to the server's log, with the message as the event."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except (TypeError, ValueError, LookupError):
            message = str(record.msg)
        # `logging` allows any number as a level; this is the next of our levels below it.
        level = min(record.levelno // 10 * 10, logging.CRITICAL)
        get().log(level, message, logger=record.name, exc_info=record.exc_info)


# At `debug` gRPC logs every message of every stream.
_of_libraries = _OfLibraries(logging.INFO)


class _Lossy:
    """A structlog logger on stderr that drops lines which it cannot write, and later logs their number.

    A full disk must not stop the server.
    """

    def __init__(self) -> None:
        self._lost = 0

    def msg(self, line: str) -> None:
        try:
            # One write for a line, because libraries log from their own threads.
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()
        except OSError:
            self._lost += 1
            return
        if self._lost:
            lost, self._lost = self._lost, 0
            get().warning("log_lines_lost", lines=lost)

    debug = info = warning = error = exception = critical = msg
