"""The pens of one stream on a real renderer and batcher, with a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from inkstream.v1 import error_pb2, ink_pb2
from inkstream_server.access.allowance import Allowance, Quota
from inkstream_server.batching.fair_queue import Flow
from inkstream_server.limits.memory_book import UNLIMITED, Account
from inkstream_server.limits.turns import Lane, Turns
from inkstream_server.pens.ink_session import InkSession
from inkstream_server.pens.limits import PenLimits
from inkstream_server.pens.resources import InkResources
from inkstream_server.streams.outbox import Reply
from inkstream_server.wire.response import Response

from tests.patience import PATIENCE_SECONDS
from tests.unit.server.builders import NumberEngine, Workshop


class Alarm:
    """Satisfies `clock.Timer`."""

    def __init__(self, clock: HandClock, callback: Callable[[], None]) -> None:
        self._clock = clock
        self.callback = callback

    def cancel(self) -> None:
        self._clock.alarms.pop(self, None)


class HandClock:
    """Satisfies `clock.Clock`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.alarms: dict[Alarm, float] = {}

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Alarm:
        alarm = Alarm(self, callback)
        self.alarms[alarm] = when
        return alarm

    def advance(self, seconds: float) -> None:
        """Let time pass, and call every timer when it is due."""
        until = self.now + seconds
        while self.alarms:
            alarm = min(self.alarms, key=self.alarms.__getitem__)
            if self.alarms[alarm] > until:
                break
            self.now = self.alarms.pop(alarm)
            alarm.callback()
        self.now = until

    @property
    def pending(self) -> int:
        """Timers that are set."""
        return len(self.alarms)


class Desk:
    """An `InkSession`; its answers are read as soon as they are complete."""

    def __init__(
        self,
        limits: PenLimits | None = None,
        engine: NumberEngine | None = None,
        turns: Turns | None = None,
        quota: Quota | None = None,
    ) -> None:
        self.workshop = Workshop(engine)
        self.clock = HandClock()
        self.account = Account(UNLIMITED)
        self.due: list[Reply] = []
        # Work that costs nothing is done at once, so that no event slips behind a step of the clock.
        turns = turns or Turns(clock=lambda: 0.0)
        resources = InkResources.over(
            self.workshop.batcher, self.workshop.metrics, limits, turns=turns
        )
        self.session = InkSession(
            resources,
            self.due.append,
            self.clock,
            Flow(),
            Lane(resources.turns),
            Allowance(quota, self.clock.time) if quota else None,
            self.account,
        )
        self._has_ended = False
        self.glyphs: list[ink_pb2.GlyphResult] = []
        self.errors: list[error_pb2.ItemError] = []

    async def take(self, *events: ink_pb2.InkEvent) -> None:
        """Pass one message of events to the session."""

        async def room() -> None:
            return

        await self.session.take((ink_pb2.InkEvents(events=events),), lambda: False, room)

    def end(self) -> None:
        """End the stream: it brings no more events."""
        self._has_ended = True
        self.session.end(lambda: None)

    async def read(self) -> None:
        """Read every pending answer."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            if self._has_ended:
                await self.session.ended()  # Its pens are closed in turns.
            while self.due:
                await self.due[0].ready()
                self.read_complete()

    def read_complete(self) -> None:
        """Read answers in order, up to the first that is not complete."""
        response = Response()
        while self.due and self.due[0].is_complete():
            self.due.pop(0).append(response)
        self.glyphs += response.glyphs
        self.errors += response.errors

    def story(self, pen: int = 1) -> list[tuple[str, int, tuple[int, ...]]]:
        """The answers to a pen: (state, glyph, strokes)."""
        return [
            (
                ink_pb2.GlyphState.Name(it.state).removeprefix("GLYPH_STATE_").lower(),
                it.glyph,
                (*it.strokes,),
            )
            for it in self.glyphs
            if it.pen == pen
        ]

    def faults(self, pen: int) -> list[tuple[str, int]]:
        """The errors of a pen: (field, stroke)."""
        return [(it.field, it.ink.stroke) for it in self.errors if it.ink.pen == pen]

    def glyphs_ended(self) -> dict[str, int]:
        """Counts by outcome, without zeros."""
        outcomes = ("recognized", "no_ink", "not_a_digit", "unsure", "failed", "overloaded")
        counts = {
            outcome: int(self.workshop.value("inkstream_glyphs_total", outcome=outcome))
            for outcome in (*outcomes, "cleared", "cancelled")
        }
        return {outcome: count for outcome, count in counts.items() if count}


async def written(*messages: Iterable[ink_pb2.InkEvent]) -> Desk:
    """A desk after these messages, everything answered."""
    desk = Desk()
    for events in messages:
        await desk.take(*events)
    await desk.read()
    return desk
