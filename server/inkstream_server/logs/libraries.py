"""Makes events of the records of `logging`, without the texts in them that a caller may have sent."""

import logging
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

from inkstream_server.errors import shown
from inkstream_server.logs.failures import summary
from inkstream_server.logs.log import KIND, get

NOT_UTF8: Final = "Invalid encoding on %s"
"""What gRPC logs, with the value, for each header that is not UTF-8. It reads the header as Latin-1, and the
call goes on: a caller's fault, and no error of the server."""

LEFT_OUT: Final = "..."
"""Stands for a text that a library wanted to log."""

TRUSTED: Final = (
    "absl",
    "inkstream",
    "keras",
    "opentelemetry.exporter",
    "opentelemetry.sdk",
    "py.warnings",
    "tensorflow",
)
"""Loggers that no caller's headers, paths or messages reach, so that their texts are shown. Of all others,
gRPC's above all, only the words of the library itself are shown, and numbers."""


class OfLibraries(logging.Handler):
    """Passes records to the server's log, with the message as the event."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record. Never raises, because `logging` would print that."""
        if isinstance(record.msg, str) and record.msg == NOT_UTF8:
            get().info("header_not_utf8", logger=record.name)
            return
        # `logging` allows any number as a level; this is the next of our levels below it.
        level = min(record.levelno // 10 * 10, logging.CRITICAL)
        get().log(
            level,
            _message(record),
            logger=record.name,
            exc_info=record.exc_info,
            **{KIND: _kind(record)},
        )


def _message(record: logging.LogRecord) -> str:
    if not isinstance(record.msg, str):
        return str(_harmless(record.msg))
    given: Any = record.args
    if not record.name.startswith(TRUSTED):
        if isinstance(given, Mapping):
            given = {key: _harmless(value) for key, value in given.items()}
        elif given:
            given = tuple(map(_harmless, given))
    try:
        return shown(record.msg % given if given else record.msg)
    except Exception:  # noqa: BLE001 (a wrong template, or any __str__)
        return shown(record.msg)


def _harmless(value: object) -> object:
    """Give what of a value can be shown: numbers, types, enums and the summary of an exception."""
    if value is None or isinstance(value, int | float | Enum | type):
        return value
    return summary(value) if isinstance(value, BaseException) else LEFT_OUT


def _kind(record: logging.LogRecord) -> str:
    """Name what the record is an example of: its template, or its place in the code if it has no template."""
    if record.args and isinstance(record.msg, str):
        return shown(f"{record.name}: {record.msg}")
    failed = record.exc_info[0] if record.exc_info else None
    failure = f" {failed.__name__}" if failed else ""
    return shown(f"{record.name} {record.filename}:{record.lineno}{failure}")
