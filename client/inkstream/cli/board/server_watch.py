"""Whether the server is there: the client tells of its stream, and questions find out the rest."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from inkstream import ConnectionEvent, ConnectionState, InkstreamError
from inkstream.cli.board.answers import server_gone, server_here

_PERIOD_SECONDS = 2.0


class ServerWatch:
    """Knows whether the server is there, and tells of changes.

    A client without work opens no stream, and a server that stops in good order breaks none: so it is asked
    now and then as well.
    """

    def __init__(self, tell: Callable[[dict[str, Any]], object]) -> None:
        """Take the server to be there, as whoever makes this is about to ask it.

        Args:
            tell: called with what pages are told, from any thread; it must not block.
        """
        self._tell = tell
        self._lock = threading.Lock()
        self._state = server_here()
        self._is_over = threading.Event()

    @property
    def state(self) -> dict[str, Any]:
        """What pages are told."""
        return self._state

    def take(self, event: ConnectionEvent) -> None:
        """For the client: its connection changed. Does not block."""
        if event.state is ConnectionState.OPEN:
            self._set(server_here())
        elif event.state is ConnectionState.LOST:
            self._set(server_gone(event.error))

    def ask(self, question: Callable[[], object], period_seconds: float = _PERIOD_SECONDS) -> None:
        """Ask the server now and then, until `stop`. To be run in a thread of its own.

        Args:
            question: raises InkstreamError where there is no answer.
            period_seconds: time between two questions.
        """
        while not self._is_over.wait(period_seconds):
            try:
                question()
            except InkstreamError as error:
                self._set(server_gone(error))
            else:
                self._set(server_here())

    def stop(self) -> None:
        """Ask no more."""
        self._is_over.set()

    def _set(self, state: dict[str, Any]) -> None:
        with self._lock:
            changed = state["state"] != self._state["state"]
            self._state = state
            if changed:
                self._tell(state)
