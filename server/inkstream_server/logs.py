"""Structured logs on stderr: one event a line, for operators. Never a line an item."""

import logging
import sys

import structlog


def configure(log_format: str, log_level: str, **always: object) -> None:
    """Set up logging for the process.

    Args:
        log_format: "text" (`event key=value`) or "json" (one object a line).
        log_level: least level that is written.
        always: what every line says besides.
    """
    processors: list[structlog.typing.Processor] = [
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
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[log_level.upper()]
        ),
        logger_factory=lambda *_: lossy,
    )


def get() -> "structlog.typing.FilteringBoundLogger":
    """Give a logger: `get().info("ready", address=...)`."""
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return log


class _Lossy:
    """A structlog logger on stderr that loses lines it cannot write, and says how many as soon as it can.

    A full disk under the log must not stop the server.
    """

    def __init__(self) -> None:
        self._lost = 0

    def msg(self, line: str) -> None:
        try:
            print(line, file=sys.stderr, flush=True)  # noqa: T201 (this is where lines leave)
        except OSError:
            self._lost += 1
            return
        if self._lost:
            lost, self._lost = self._lost, 0
            get().warning("log_lines_lost", lines=lost)

    debug = info = warning = error = exception = critical = msg
