"""The errors that end a server, each saying what to change; and how any error shows a text from outside."""

import reprlib
from typing import Final

MOST_SHOWN: Final = 200
"""Most characters of a text from outside in a status, an error, a log line or a label. In a status each may
take 12 bytes (four of UTF-8, percent-encoded); clients of gRPC accept headers of 8,192 bytes."""

CUT: Final = "…"
"""Ends a text that was cut."""


class ServeError(Exception):
    """The server cannot continue; its process ends with exit code 1 and this message."""


class StartError(ServeError):
    """The server cannot start: an address is taken, a model cannot be served, a file cannot be written."""


class WorkersFailed(ServeError):
    """A worker died too often in a row to be restarted once more."""


def shown(given: object) -> str:
    """Show what came from outside (a caller, a file, a library) within a sentence of ours.

    Args:
        given: a text, or anything else, of which an abridged `repr` is shown.

    Returns: at most `MOST_SHOWN` characters, with `CUT` at the end if it was longer. Escaped are control
        characters, line ends, marks that change the direction of text, and all else that cannot be printed.
        Takes microseconds, however long the text is.
    """
    text = given if isinstance(given, str) else reprlib.repr(given)
    start = escaped(text[: MOST_SHOWN + 1])
    if len(start) <= MOST_SHOWN:
        return start
    return start[: MOST_SHOWN - len(CUT)] + CUT


def escaped(text: str) -> str:
    """Escape all of a text that cannot be printed; see `shown`. Takes time that grows with the text."""
    if text.isprintable():
        return text
    return "".join(
        [it if it.isprintable() else it.encode("unicode_escape").decode() for it in text]
    )
