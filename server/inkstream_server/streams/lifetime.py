"""Limits how many streams are open, and ends streams that are too old or idle, or whose token was revoked.

Knows sessions as something that can be drained, and callers by their tokens; nothing of gRPC.
"""

import asyncio
import random
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol, Self

from inkstream_server.access.tokens import Caller
from inkstream_server.clock import Clock

FIRST_MESSAGE_SECONDS = 10.0
"""How long a stream may be open before its configuration comes."""

GRACE_SECONDS = 5.0
"""Time to drain a stream that is too old or idle."""

REVOKED_SECONDS = 1.0
"""Time to drain a stream whose token was revoked: enough to answer what was accepted."""

IDLE_LOOKS = 4
"""Checks within the idle time: a stream ends at most a quarter of that time late."""

AGE_SPREAD = 0.1
"""Share of the age by which streams end earlier, at random, so that callers do not reconnect in step."""

Ending = Literal["idle", "age", "revoked"]
"""Why a stream was ended."""

WHY: dict[Ending, str] = {
    "idle": "the stream was idle for too long: open another when there is something to send",
    "age": "the stream has reached the greatest age: open another",
    "revoked": "the token was revoked: ask its issuer for another",
}
"""The reason as a sentence for the caller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """Bounds on streams."""

    streams: int = 16_384
    """Streams open at once, of all callers."""
    idle_seconds: float = 900.0
    """How long a stream may bring no message while nothing is unanswered."""
    age_seconds: float = 86_400.0
    """How long a stream may be open."""


class Drainable(Protocol):
    """The part of a session that this module needs."""

    @property
    def messages(self) -> int:
        """How many messages it has read."""

    @property
    def has_unanswered(self) -> bool:
        """Whether anything is unanswered."""

    async def drain(self, grace_seconds: float) -> None:
        """Send the drain notice, and answer what was accepted, within the grace."""


class OpenStreams:
    """All streams of a server that are open."""

    def __init__(self, limits: StreamLimits | None = None, clock: Clock | None = None) -> None:
        """Start with none.

        Args:
            limits: bounds; None for the defaults.
            clock: tells ages; None for the running event loop's.
        """
        self._limits = limits or StreamLimits()
        self._clock = clock
        self._open = 0

    def enter(self, caller: Caller | None) -> str | None:
        """Count one more stream, or give the error for its caller if a limit is reached."""
        if self._open >= self._limits.streams:
            return (
                f"streams: the server has {self._limits.streams} open, its limit: try again later"
            )
        if caller is not None and not caller.allowance.open_stream():
            return (
                f"streams: token '{caller.grant.name}' has {caller.allowance.quota.streams} open, "
                "its limit: close one first"
            )
        self._open += 1
        return None

    def leave(self, caller: Caller | None) -> None:
        """Count one stream less."""
        self._open -= 1
        if caller is not None:
            caller.allowance.close_stream()

    def lifetime(self, session: Drainable, caller: Caller | None) -> "Lifetime":
        """Give a watch that ends a session when its time is over: `async with` around its run."""
        return Lifetime(session, caller, self._limits, self._clock or asyncio.get_running_loop())


class Lifetime:
    """Watches one stream from the task that runs it.

    A stream that does not end within its grace, because its caller reads no answers, is cancelled.
    """

    ending: Ending | None = None
    """Why the stream was ended; None if it ended by itself."""
    has_cut = False
    """Whether the stream was cancelled for that; its caller does not know why yet."""

    def __init__(
        self, session: Drainable, caller: Caller | None, limits: StreamLimits, clock: Clock
    ) -> None:
        """Prepare."""
        self._session = session
        self._caller = caller
        self._limits = limits
        self._clock = clock
        self._seen = -1
        self._draining: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._running = asyncio.current_task()
        age = self._limits.age_seconds * random.uniform(1 - AGE_SPREAD, 1)  # noqa: S311 (no secret)
        self._age = self._clock.call_at(
            self._clock.time() + age, lambda: self._end("age", GRACE_SECONDS)
        )
        self._look()
        if self._caller is not None:
            self._caller.on_revoked(self, lambda: self._end("revoked", REVOKED_SECONDS))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._running = None
        self._age.cancel()
        self._idle.cancel()
        if self._caller is not None:
            self._caller.on_revoked(self, None)
        if self._draining is not None:
            self._draining.cancel()
            await asyncio.wait([self._draining])

    def _look(self) -> None:
        """End the stream if nothing has happened within the last IDLE_LOOKS checks."""
        messages = self._session.messages
        if messages != self._seen or self._session.has_unanswered:
            self._seen = messages
            self._quiet_looks = 0
        else:
            self._quiet_looks += 1
            if self._quiet_looks >= IDLE_LOOKS:
                self._end("idle", GRACE_SECONDS)
        self._idle = self._clock.call_at(
            self._clock.time() + self._limits.idle_seconds / IDLE_LOOKS, self._look
        )

    def _end(self, ending: Ending, grace_seconds: float) -> None:
        if self.ending is None:
            self.ending = ending
            self._draining = asyncio.create_task(self._drain(grace_seconds))

    async def _drain(self, grace_seconds: float) -> None:
        await self._session.drain(grace_seconds)
        if self._running is not None:
            self.has_cut = True
            self._running.cancel()
