"""Structured logs on stderr: one event a line, for operators. Never a line an item."""

import asyncio
import faulthandler
import itertools
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import structlog

LEVELS = ("debug", "info", "warning", "error")
"""From talkative to silent."""

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_streams = itertools.count(1)


def configure(log_format: str, log_level: str, **always: object) -> None:
    """Set up logging for the process; what libraries log by `logging` takes the same way out.

    Args:
        log_format: "text" (`event key=value`) or "json" (one object a line).
        log_level: least level that is written.
        always: what every line says besides.
    """
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        lambda _logger, _method, event: {**event, **always},
    ]
    if log_format == "json":
        processors.append(structlog.processors.JSONRenderer())
    else:
        processors.append(
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"])
        )
    lossy = _Lossy()
    structlog.configure(
        processors=processors,
        logger_factory=lambda *_: lossy,
    )
    _threshold.set(LEVELS.index(log_level))
    logging.getLogger().addHandler(_of_libraries)
    logging.captureWarnings(True)


def shift_on_signals(loop: asyncio.AbstractEventLoop, also: Callable[[int], object] = int) -> None:
    """Say more on each SIGUSR1, and less on each SIGUSR2, from now on.

    Args:
        loop: the running one; only the main thread's hears signals.
        also: called with the signal's number, to pass it on.
    """
    for number, steps in ((signal.SIGUSR1, -1), (signal.SIGUSR2, 1)):
        loop.add_signal_handler(number, _heard, number, steps, also)


def about_stream(peer: str, metadata: Iterable[tuple[str, str | bytes]]) -> None:
    """Let all lines of the running task, and of those it starts, say whose stream they are about.

    They get the stream's number in this process, its peer, and the trace that the caller's `traceparent`
    (W3C Trace Context) names.
    """
    said: dict[str, object] = {"stream": next(_streams), "peer": peer}
    for key, value in metadata:
        found = _TRACEPARENT.fullmatch(str(value)) if key == "traceparent" else None
        if found is not None:
            said["trace_id"] = found[1]
    structlog.contextvars.bind_contextvars(**said)


def get() -> "structlog.typing.FilteringBoundLogger":
    """Give a logger: `get().info("ready", address=...)`."""
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return log


@contextmanager
def native_stderr() -> Iterator[None]:
    """Log each line that native code writes to stderr within the block, when the block ends.

    LiteRT and TensorFlow write text that Python cannot turn off and a reader of JSON cannot parse. Meanwhile
    descriptor 2 is a file in memory, which takes any amount without making anybody wait. Python's own
    `sys.stderr` moves to another descriptor for good: what other threads log is not delayed, and where native
    code crashes, `faulthandler` writes the stacks. Use one block at a time. Outside Linux it does nothing.
    """
    if not hasattr(os, "memfd_create"):
        yield
        return
    if sys.stderr is sys.__stderr__:
        sys.stderr = open(os.dup(2), "w", buffering=1, errors="backslashreplace")  # noqa: SIM115, PTH123
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
    """The least level that is written, by its place in `LEVELS`."""

    def __init__(self) -> None:
        self.place = LEVELS.index("info")

    def set(self, place: int) -> None:
        self.place = min(max(place, 0), len(LEVELS) - 1)
        level = logging.getLevelNamesMapping()[LEVELS[self.place].upper()]
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))
        logging.getLogger().setLevel(max(level, _of_libraries.level))


_threshold = _Threshold()


def _heard(number: int, steps: int, also: Callable[[int], object]) -> None:
    _threshold.set(_threshold.place + steps)
    # Whoever turned the log knows by this line that it was heard: at any level, from every process.
    everything = structlog.make_filtering_bound_logger(logging.NOTSET)
    structlog.wrap_logger(None, wrapper_class=everything).info(
        "log_level", least=LEVELS[_threshold.place]
    )
    also(number)


class _OfLibraries(logging.Handler):
    """Hands what was logged by `logging` to the server's own log: the message as the event."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except (TypeError, ValueError, LookupError):
            message = str(record.msg)
        # In a level of ours, for any number is one of `logging`.
        level = min(record.levelno // 10 * 10, logging.CRITICAL)
        get().log(level, message, logger=record.name, exc_info=record.exc_info)


# At `debug` gRPC has a line for every message of every stream.
_of_libraries = _OfLibraries(logging.INFO)


class _Lossy:
    """A structlog logger on stderr that loses lines it cannot write, and says how many as soon as it can.

    A full disk under the log must not stop the server.
    """

    def __init__(self) -> None:
        self._lost = 0

    def msg(self, line: str) -> None:
        try:
            # As a whole, for libraries log from threads of their own.
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()
        except OSError:
            self._lost += 1
            return
        if self._lost:
            lost, self._lost = self._lost, 0
            get().warning("log_lines_lost", lines=lost)

    debug = info = warning = error = exception = critical = msg
