"""Makes lines of events: with time and level, limited by kind, in the chosen format."""

import itertools
import logging
import math
import re
import sys
import threading
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Final

import structlog
from structlog.typing import EventDict, FilteringBoundLogger

from inkstream_server.logs.failures import trace
from inkstream_server.logs.kinds import (
    MOST_DEBUG_LINES,
    MOST_LINES,
    NEVER_OMITTED,
    WINDOW_SECONDS,
    Kinds,
)
from inkstream_server.logs.lines import TRACEBACK, renderer
from inkstream_server.logs.output import Output

LEVELS: Final = ("debug", "info", "warning", "error")
"""From the most to the least output."""

KIND: Final = "_kind"
"""Key of the kind as which an event counts, and which is not written. By default it is the event's name."""

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_streams = itertools.count(1)


def configure(log_format: str, log_level: str, **always: object) -> None:
    """Choose how this process logs.

    Args:
        log_format: "text" (`event key=value`) or "json" (one object a line).
        log_level: lowest level that is written.
        always: further keys of every line.
    """
    render = renderer(log_format)
    limit.reset()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            limit,
            *_DETAILS,
            lambda _logger, _method, event: render({**event, **always}),
        ],
        logger_factory=lambda *_: output,
    )
    threshold.set(LEVELS.index(log_level))


def get() -> FilteringBoundLogger:
    """Give a logger: `get().info("ready", address=...)`.

    The name of an event is a constant, because lines are limited by it.
    """
    log: FilteringBoundLogger = structlog.get_logger()
    return log


def at_any_level() -> FilteringBoundLogger:
    """Give a logger that writes at any level, for what must not be missed."""
    everything = structlog.make_filtering_bound_logger(logging.NOTSET)
    log: FilteringBoundLogger = structlog.wrap_logger(None, wrapper_class=everything)
    return log


def last_words(event: str, **values: object) -> None:
    """Write an event from a process whose logger may be stuck: past locks, limits and buffers."""
    *_, render = structlog.get_config()["processors"]
    given: EventDict = {"event": event, **values}
    for process in _DETAILS:
        given = process(None, "critical", given)
    output.write_at_once(str(render(None, "critical", given)))


def about_stream(peer: str, metadata: Iterable[tuple[str, str | bytes]]) -> None:
    """Add the stream to all lines of the running task and of the tasks that it starts.

    Adds the number of the stream in this process, its peer, and the trace in the caller's `traceparent` (W3C
    Trace Context). These 32 hexadecimal digits are all of a call's metadata that is ever logged.
    """
    keys: dict[str, object] = {"stream": next(_streams), "peer": peer}
    for key, value in metadata:
        found = _TRACEPARENT.fullmatch(str(value)) if key == "traceparent" else None
        if found is not None:
            keys["trace_id"] = found[1]
    structlog.contextvars.bind_contextvars(**keys)


class Limit:
    """A structlog processor that drops events of a kind that come too often, and later logs their number."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        """Count by a clock in seconds."""
        self._clock = clock
        # Reentrant, because a finalizer may fail and be logged at any allocation.
        self._lock = threading.RLock()
        self._reporter: threading.Thread | None = None
        self.reset()

    def reset(self) -> None:
        """Forget all that was counted."""
        self._kinds = Kinds()

    def __call__(self, _logger: object, method: str, event: EventDict) -> EventDict:
        """Give the event without its kind, or raise `structlog.DropEvent`."""
        kind = str(event.pop(KIND, event["event"]))
        if kind in NEVER_OMITTED:
            return event
        most = MOST_DEBUG_LINES if method == "debug" else MOST_LINES
        with self._lock:
            if self._kinds.admit(kind, self._clock(), most):
                return event
            if self._reporter is None:
                self._reporter = threading.Thread(target=self._report, name="log", daemon=True)
                self._reporter.start()
        raise structlog.DropEvent

    def flush(self, now: float = math.inf) -> None:
        """Log how many lines were omitted in the windows that are over by a time; by default in all."""
        with self._lock:
            closed = [*self._kinds.closed(now)]
        for kind, lines in closed:
            at_any_level().warning(
                "log_lines_omitted", kind=kind, lines=lines, window_s=WINDOW_SECONDS
            )

    def _report(self) -> None:
        while True:
            with self._lock:
                end = self._kinds.next_end()
                if end is None:
                    self._reporter = None
                    return
                pause = max(0.0, end - self._clock())
            threading.Event().wait(pause)
            self.flush(self._clock())


class Threshold:
    """The lowest level that is written, as its place in `LEVELS`."""

    def __init__(self) -> None:
        """Begin with `info`."""
        self.place = LEVELS.index("info")

    def set(self, place: int) -> None:
        """Change the level; a place outside `LEVELS` is the nearest one."""
        self.place = min(max(place, 0), len(LEVELS) - 1)
        level = logging.getLevelNamesMapping()[LEVELS[self.place].upper()]
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))
        # At `debug` gRPC logs every message of every stream.
        logging.getLogger().setLevel(max(level, logging.INFO))


def _show_failure(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Replace `exc_info`, in any of the forms that `logging` allows, by the exception's lines."""
    given = event.pop("exc_info", None)
    if given is True:
        given = sys.exc_info()
    error = given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        event[TRACEBACK] = trace(error)
    return event


_DETAILS: Final = (
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    _show_failure,
)

output = Output(lambda lines: get().warning("log_lines_lost", lines=lines))
"""Where this process writes its log."""
limit = Limit()
threshold = Threshold()
