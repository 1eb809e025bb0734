"""What a caller may watch of a client's connection."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from inkstream._exceptions import InkstreamError


class ConnectionState(enum.StrEnum):
    """Where a client's stream stands."""

    CONNECTING = "connecting"
    """A stream is being opened."""
    OPEN = "open"
    """The server has opened it: items flow."""
    DRAINING = "draining"
    """The server is about to stop. It answers what it has; what is new goes to the next stream."""
    LOST = "lost"
    """The stream broke, or did not open. What is unanswered is kept for the next one."""
    CLOSED = "closed"
    """The client was closed."""


@dataclass(frozen=True, slots=True)
class ConnectionEvent:
    """A change of a client's connection."""

    state: ConnectionState
    """Where it stands now."""
    address: str
    """The target that it is about."""
    attempt: int = 1
    """Which attempt in a row this is, from 1; it begins anew with every answer."""
    error: InkstreamError | None = None
    """Why, where the state is LOST."""
    delay: float | None = None
    """Seconds until the next attempt, where the state is LOST; None where none follows by itself: nothing
    waits for an answer, or the client has given up."""


OnState: TypeAlias = Callable[[ConnectionEvent], object]
"""Called with every change, in the thread of the connection: it must not block."""
