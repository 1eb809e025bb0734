"""Watches whether the server answers: by the state of the client's stream, and by asking."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from inkstream import ConnectionEvent, ConnectionState, InkstreamError
from inkstream.cli.board.answers import SERVER_READY, server_gone

_PERIOD_SECONDS = 2.0


class ServerWatch:
    """Reports when the server stops or starts to answer.

    The state of the stream is not enough: an idle client opens none, and a server that drains breaks none. So
    `ask` calls the server periodically.
    """

    def __init__(self, tell: Callable[[dict[str, Any]], object]) -> None:
        """Assume that the server answers until it does not.

        `tell` gets each new state, as a message for pages, in any thread; it must not block.
        """
        self._tell = tell
        self._lock = threading.Lock()
        self.state: dict[str, Any] = SERVER_READY
        """The state, as a message for pages."""
        self._is_over = threading.Event()

    def take(self, event: ConnectionEvent) -> None:
        """Take a change of the client's connection. Does not block."""
        if event.state is ConnectionState.OPEN:
            self._set(SERVER_READY)
        elif event.state is ConnectionState.LOST:
            self._set(server_gone(event.error))

    def ask(self, question: Callable[[], object], period_seconds: float = _PERIOD_SECONDS) -> None:
        """Ask the server periodically until `stop`. Runs in a thread of its own.

        `question` calls the server, and raises InkstreamError if there is no answer.
        """
        while not self._is_over.wait(period_seconds):
            try:
                question()
            except InkstreamError as error:
                self._set(server_gone(error))
            else:
                self._set(SERVER_READY)

    def stop(self) -> None:
        """Stop asking."""
        self._is_over.set()

    def _set(self, state: dict[str, Any]) -> None:
        with self._lock:
            changed = state["state"] != self.state["state"]
            self.state = state
            if changed:
                self._tell(state)
