"""Shows an exception: its type, its place, and its text unless that may repeat what a caller sent."""

import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Final

from inkstream_server.errors import shown

MOST_FRAMES: Final = 12
"""Most places of one exception: those where it was raised last."""

MOST_CAUSES: Final = 3
"""Most exceptions of a chain that are shown, and most of a group."""

_OURS: Final = ("inkstream", "inkstream_server")
_ABOUT_A_VALUE: Final = (ValueError, LookupError)
"""Python's exceptions that repeat a value, such as a header that is not UTF-8."""


def summary(error: BaseException) -> str:
    """Show an exception within a line: its type, and its text unless that may repeat a value.

    Our own exceptions show their text, because our sentences pass what came from outside through `shown`.
    """
    kind = type(error)
    is_ours = kind.__module__.partition(".")[0] in _OURS
    name = kind.__qualname__
    if kind.__module__ != "builtins":
        name = f"{kind.__module__}.{name}"
    if isinstance(error, _ABOUT_A_VALUE) and not is_ours:
        return name
    try:
        text = shown(str(error))
    except Exception as failure:  # noqa: BLE001 (any exception may have any __str__)
        text = f"its text fails with {type(failure).__qualname__}"
    return f"{name}: {text}" if text else name


def trace(error: BaseException) -> str:
    """Show an exception with the places it passed and its causes, the oldest first, in lines."""
    return "\n".join(_lines(error, MOST_CAUSES))


def _lines(error: BaseException, causes: int) -> Iterator[str]:
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and causes > 1:
        yield from _lines(cause, causes - 1)
        yield "Then:"
    yield from _places(error.__traceback__)
    yield summary(error)
    if isinstance(error, BaseExceptionGroup) and causes > 1:
        for part in error.exceptions[:MOST_CAUSES]:
            yield "Part:"
            yield from _lines(part, causes - 1)


def _places(passed: TracebackType | None) -> Iterator[str]:
    if passed is not None:
        yield "Traceback (most recent call last):"
        for place in traceback.extract_tb(passed, -MOST_FRAMES):
            yield f'  File "{place.filename}", line {place.lineno}, in {place.name}'
            if place.line:
                yield f"    {place.line}"
