"""The log on stderr, for operators: one event a line, and never a line for each item.

`log` makes a line of an event, `kinds` limits how many there are, `lines` bounds and escapes each, and
`process` and `libraries` make events of what others say. A caller's metadata is never logged, in any form.
"""

import asyncio
import logging
import signal
from collections.abc import Callable

from inkstream_server.logs import log
from inkstream_server.logs.libraries import OfLibraries
from inkstream_server.logs.log import LEVELS, about_stream, at_any_level, get, last_words, threshold
from inkstream_server.logs.process import native_stderr, watch_loop, whole_process

__all__ = [
    "LEVELS",
    "about_stream",
    "configure",
    "get",
    "last_words",
    "native_stderr",
    "shift_on_signals",
    "watch_loop",
    "whole_process",
]

_of_libraries = OfLibraries(logging.INFO)


def configure(log_format: str, log_level: str, **always: object) -> None:
    """Set up logging for the process, including libraries that use `logging` or `warnings`.

    Args:
        log_format: "text" (`event key=value`) or "json" (one object a line).
        log_level: lowest level that is written.
        always: further keys of every line.
    """
    log.configure(log_format, log_level, **always)
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


def _shift(number: int, steps: int, also: Callable[[int], object]) -> None:
    threshold.set(threshold.place + steps)
    # Confirms the signal, at any level and in every process.
    at_any_level().info("log_level", least=LEVELS[threshold.place])
    also(number)
