"""Says which signals stop a server, and keeps those for the log from killing one that has just begun."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

STOPS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that drain a server: of a service manager, of Ctrl-C, and of a terminal that closes."""

_OF_THE_LOG: Final = {signal.SIGUSR1, signal.SIGUSR2}
"""Signals that `logs.shift_on_signals` obeys. They end a process that has no handler for them."""


def hold_back() -> None:
    """Let the signals for the log wait until `deliver`; new threads and processes do the same."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _OF_THE_LOG)


def deliver() -> None:
    """Let the signals for the log arrive, those that wait too. Call it once they have handlers."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _OF_THE_LOG)


@contextmanager
def held_back() -> Iterator[None]:
    """Hold back while the block runs, so that a process that it starts begins so."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _OF_THE_LOG)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def stop_on_signals(stop: Callable[[], object]) -> None:
    """Call `stop` in the running event loop of the main thread at each of `STOPS`.

    SIGHUP stays ignored if it was ignored before: `nohup` lets a server outlive its terminal.
    """
    loop = asyncio.get_running_loop()
    for number in STOPS:
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, stop)
