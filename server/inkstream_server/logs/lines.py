"""Makes one line of an event: escaped, no longer than `MOST_LINE` bytes, as text or JSON."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from inkstream_server.errors import CUT, escaped

MOST_LINE: Final = 4096
"""Most bytes of a line in UTF-8, its end included: PIPE_BUF of Linux, up to which processes that share a pipe
do not mix their writes. A longer line loses parts of its longest values."""

TRACEBACK: Final = "exception"
"""The key of a traceback, whose end says more than its beginning. Alone it keeps its line ends, which both
formats write as `\\n`."""

Event = dict[str, Any]
Render = Callable[[Event], str]

_RENDERERS: Final[Mapping[str, Any]] = {
    "json": structlog.processors.JSONRenderer(),
    "text": structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
}


def renderer(log_format: str) -> Render:
    """Give the function that makes a line of an event, without the line's end.

    Args:
        log_format: "text" (`event key=value`) or "json" (one object).
    """
    write = _RENDERERS[log_format]

    def render(event: Event) -> str:
        event = {key: _plain(key, value) for key, value in event.items()}
        while len((line := str(write(None, "", event))).encode()) >= MOST_LINE:
            longest = max(event, key=lambda key: len(str(event[key])))
            event[longest] = _cut(longest, str(event[longest]))
        return line

    return render


def _plain(key: str, value: object) -> object:
    """Give a value as both formats can write it: a text without control characters, or a number."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and value.bit_length() <= 64:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    text = str(value)
    if len(text) > MOST_LINE:  # Escaping would take long.
        text = text[-MOST_LINE:] if key == TRACEBACK else text[:MOST_LINE]
    if key == TRACEBACK:
        return "\n".join(map(escaped, text.split("\n")))
    return escaped(text)


def _cut(key: str, text: str) -> str:
    """Give about three quarters of a text; nothing of a few characters."""
    kept = len(text) * 3 // 4 - len(CUT)
    if kept <= 0:
        return ""
    return CUT + text[-kept:] if key == TRACEBACK else text[:kept] + CUT
