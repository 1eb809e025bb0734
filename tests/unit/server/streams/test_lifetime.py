from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from inkstream_server.access.allowance import Quota
from inkstream_server.access.tokens import Caller, Grant
from inkstream_server.streams.lifetime import Lifetime, OpenStreams, StreamLimits

from tests.patience import PATIENCE_SECONDS
from tests.unit.server.pens.desk import HandClock


class Idler:
    """A session that a test controls; it ends when it is drained, unless it is stubborn."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.messages = 0
        self.has_unanswered = False
        self.graces: list[float] = []
        self.drained = asyncio.Event()
        self._stubborn = stubborn

    async def drain(self, grace_seconds: float) -> None:
        self.graces.append(grace_seconds)
        if not self._stubborn:
            self.drained.set()
            await asyncio.Event().wait()


def caller(quota: Quota = Quota()) -> Caller:  # noqa: B008 (frozen)
    return Caller(Grant("a", bytes(32), quota))


class Scene:
    """A running stream, and a clock that the test moves."""

    def __init__(self, idler: Idler, who: Caller | None = None) -> None:
        self.clock = HandClock()
        limits = StreamLimits(idle_seconds=100.0, age_seconds=1000.0)
        self.lifetime = OpenStreams(limits, self.clock).lifetime(idler, who)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Lifetime]:
        async with asyncio.timeout(PATIENCE_SECONDS), self.lifetime:
            yield self.lifetime


async def test_a_stream_that_is_too_old_is_drained_with_a_grace() -> None:
    idler = Idler()
    idler.has_unanswered = True
    scene = Scene(idler)
    async with scene.running() as lifetime:
        scene.clock.advance(899)
        assert lifetime.ending is None
        scene.clock.advance(101)
        await idler.drained.wait()
    assert [lifetime.ending, idler.graces] == ["age", [5.0]]


async def test_streams_that_began_together_do_not_end_together() -> None:
    ends = set()
    for _ in range(20):
        idler = Idler()
        idler.has_unanswered = True
        scene = Scene(idler)
        async with scene.running() as lifetime:
            while lifetime.ending is None:
                scene.clock.advance(1)
        ends.add(scene.clock.now)
    assert len(ends) > 5


async def test_an_idle_stream_is_drained_at_most_a_quarter_late() -> None:
    idler = Idler()
    scene = Scene(idler)
    async with scene.running() as lifetime:
        scene.clock.advance(10)
        idler.messages = 1
        scene.clock.advance(99)
        assert lifetime.ending is None
        scene.clock.advance(26)
        await idler.drained.wait()
    assert [lifetime.ending, idler.graces] == ["idle", [5.0]]


async def test_a_stream_with_occasional_messages_is_not_idle() -> None:
    idler = Idler()
    scene = Scene(idler)
    async with scene.running() as lifetime:
        for _ in range(8):
            scene.clock.advance(99)
            idler.messages += 1
        assert lifetime.ending is None


async def test_a_stream_with_pending_answers_is_not_idle() -> None:
    idler = Idler()
    idler.has_unanswered = True
    scene = Scene(idler)
    async with scene.running() as lifetime:
        scene.clock.advance(800)
        assert lifetime.ending is None


async def test_a_revoked_token_ends_its_streams_within_a_second() -> None:
    idler, who = Idler(), caller()
    async with Scene(idler, who).running() as lifetime:
        who.revoke()
        await idler.drained.wait()
    assert (lifetime.ending, idler.graces) == ("revoked", [1.0])


async def test_a_stream_that_does_not_end_is_cancelled() -> None:
    idler, who = Idler(stubborn=True), caller()
    scene = Scene(idler, who)

    async def run() -> None:
        async with scene.running():
            who.revoke()
            await asyncio.Event().wait()

    stream = asyncio.create_task(run())
    await asyncio.wait([stream], timeout=PATIENCE_SECONDS)
    assert stream.cancelled()
    assert (scene.lifetime.ending, scene.lifetime.has_cut) == ("revoked", True)


async def test_an_ended_stream_is_not_drained() -> None:
    idler, who = Idler(), caller()
    scene = Scene(idler, who)
    async with scene.running():
        pass
    assert scene.clock.pending == 0
    who.revoke()
    await asyncio.sleep(0)
    assert not idler.graces


async def test_streams_beyond_the_servers_limit_are_refused_until_one_ends() -> None:
    streams = OpenStreams(StreamLimits(streams=2))
    assert streams.enter(None) is None
    assert streams.enter(None) is None
    assert "the server has 2 open, its limit" in str(streams.enter(None))
    streams.leave(None)
    assert streams.enter(None) is None


async def test_streams_beyond_a_tokens_limit_are_refused_and_others_are_not() -> None:
    streams = OpenStreams()
    one, other = caller(Quota(streams=1)), caller(Quota(streams=1))
    assert streams.enter(one) is None
    assert "token 'a' has 1 open, its limit" in str(streams.enter(one))
    assert streams.enter(other) is None
    streams.leave(one)
    assert streams.enter(one) is None


async def test_a_stream_refused_by_the_server_does_not_count_for_its_token() -> None:
    streams = OpenStreams(StreamLimits(streams=1))
    who = caller(Quota(streams=1))
    streams.enter(None)
    assert streams.enter(who) is not None
    assert who.allowance.streams == 0
