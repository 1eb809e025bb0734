"""How many streams are open and for how long: refuses those beyond a limit, ends those whose time is over.

Knows sessions as something that can be drained, and callers by their tokens; of gRPC nothing.
"""

import asyncio
import random
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol, Self

from inkstream_server.access.tokens import Caller
from inkstream_server.clock import Clock

FIRST_MESSAGE_SECONDS = 10.0
"""How long a stream may be open before it says what it wants."""


GRACE_SECONDS = 5.0
"""What a caller gets to go elsewhere when a stream has become too old or too quiet."""

REVOKED_SECONDS = 1.0
"""The same when the token is no longer good: enough for what was accepted to be answered."""

IDLE_LOOKS = 4
"""Looks at a stream within the time it may be idle: it is ended at most a quarter of that time late."""

AGE_SPREAD = 0.1
"""Share of the age by which streams end earlier, at random: those that began together must not all come
back together."""

Ending = Literal["idle", "age", "revoked"]
"""Why a stream was ended."""

WHY: dict[Ending, str] = {
    "idle": "the stream was idle for too long: open another when there is something to send",
    "age": "the stream is as old as a stream may become: open another",
    "revoked": "the token is no longer good: ask whoever gave it for another",
}
"""The same for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """Bounds on streams."""

    streams: int = 16_384
    """Streams open at once, of all callers."""
    idle_seconds: float = 900.0
    """How long a stream may bring nothing and be owed nothing."""
    age_seconds: float = 86_400.0
    """How long it may be open."""


class Drainable(Protocol):
    """A session, as far as its end goes."""

    @property
    def messages(self) -> int:
        """Messages that it has read."""
        ...

    @property
    def has_unanswered(self) -> bool:
        """Whether anything is unanswered."""
        ...

    async def drain(self, grace_seconds: float) -> None:
        """Tell its caller to go elsewhere, and answer what was accepted, as far as there is time."""
        ...


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
        """Count one more stream, unless a limit is in the way; then say which."""
        if self._open >= self._limits.streams:
            return f"streams: the server has {self._limits.streams} open, its limit: try another, or later"
        if caller is not None and not caller.allowance.open_stream():
            return (
                f"streams: token {caller.grant.name!r} has {caller.allowance.quota.streams} open, "
                "its limit: close one first"
            )
        self._open += 1
        return None

    def leave(self, caller: Caller | None) -> None:
        """A stream that was counted is over."""
        self._open -= 1
        if caller is not None:
            caller.allowance.close_stream()

    def lifetime(self, session: Drainable, caller: Caller | None) -> "Lifetime":
        """Give what ends a session when its time is over: `async with` around its run."""
        return Lifetime(session, caller, self._limits, self._clock or asyncio.get_running_loop())


class Lifetime:
    """Watches one stream while it runs, in the task that runs it.

    A stream that does not end within its grace, since its caller reads no answers, is cancelled.
    """

    ending: Ending | None = None
    """Why the stream was ended; None if it ended by itself."""
    has_cut = False
    """Whether the stream was cancelled for that; its caller has yet to be told why."""

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
        """End the stream if nothing has happened since the last IDLE_LOOKS looks."""
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
