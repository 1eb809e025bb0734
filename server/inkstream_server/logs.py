"""Structured logs on stderr: one event a line, for operators. Never a line an item."""

import logging
import sys

import structlog


def configure(log_format: str, log_level: str) -> None:
    """Set up logging for the process.

    Args:
        log_format: "text" (`event key=value`) or "json" (one object a line).
        log_level: least level that is written.
    """
    processors: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    if log_format == "json":
        processors.append(structlog.processors.JSONRenderer())
    else:
        processors.append(
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"])
        )
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[log_level.upper()]
        ),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )


def get() -> "structlog.typing.FilteringBoundLogger":
    """Give a logger: `get().info("ready", address=...)`."""
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return log
