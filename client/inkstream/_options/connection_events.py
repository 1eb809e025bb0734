"""The states of a connection, and the events that `on_state` is called with."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from inkstream._exceptions import InkstreamError


class ConnectionState(enum.StrEnum):
    """State of a client's stream."""

    CONNECTING = "connecting"
    """The client opens a stream."""
    OPEN = "open"
    """The server has accepted the stream."""
    DRAINING = "draining"
    """The server is about to stop. It answers what it has; new items go to the next stream."""
    LOST = "lost"
    """The stream broke, or did not open. The client keeps what is unanswered for the next one."""
    CLOSED = "closed"
    """The client is closed."""


@dataclass(frozen=True, slots=True)
class ConnectionEvent:
    """A change of a client's connection."""

    state: ConnectionState
    """The new state."""
    address: str
    """The gRPC target."""
    attempt: int = 1
    """Number of the attempt, from 1; every answer resets it."""
    error: InkstreamError | None = None
    """The reason for LOST; None in other states."""
    delay: float | None = None
    """Seconds until the next attempt after LOST; None where none follows by itself, because nothing waits
    for an answer or the client has given up."""


OnState: TypeAlias = Callable[[ConnectionEvent], object]
"""Called with every change, in the thread of the connection: it must not block."""
