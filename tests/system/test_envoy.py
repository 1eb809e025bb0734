"""Three servers on separate hosts behind the real Envoy: hosts come and go, and no item is lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from time import perf_counter

import numpy as np
import pytest

from tests.conftest import Mnist
from tests.patience import eventually
from tests.system.fleet import Authorities, Fleet, running_fleet

_LOG = logging.getLogger(__name__)

CLIENTS = 12
"""Clients, each with its own stream; four for each host."""

FRAMES = 8
"""Images in a call."""


@pytest.fixture(scope="module", params=[None, Authorities()], ids=["plain", "tls"])
def fleet(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """Two servers behind Envoy, and a third machine without a server."""
    with running_fleet(3, tls=request.param) as fleet:
        yield fleet


class Writers:
    """Clients that send one batch after the other and check every answer."""

    def __init__(self, fleet: Fleet, mnist: Mnist, expected: list[int]) -> None:
        self.answered = [0] * CLIENTS
        self.longest_wait = 0.0
        """Seconds of the slowest call. ARGS=--log-cli-level=INFO shows it; no test checks it."""
        self._fleet = fleet
        self._images = mnist[0][:FRAMES]
        self._expected = expected
        self._is_over = False
        self._turn = [asyncio.Event() for _ in range(CLIENTS + 1)]
        self._turn[0].set()

    async def flow(self, calls: int = 20) -> None:
        """Wait until each has this many more calls answered."""
        wanted = [count + calls for count in self.answered]
        await eventually(
            "every writer is answered",
            lambda: all(now >= then for now, then in zip(self.answered, wanted, strict=True)),
        )

    async def write(self, number: int, calls: int | None = None) -> None:
        """Call this many times, or until `stop`; raise if an answer is wrong or missing."""
        async with self._fleet.client() as client:
            # One after the other, like devices: Envoy counts a stream only once its host has it.
            await self._turn[number].wait()
            while not self._is_over and self.answered[number] != calls:
                began = perf_counter()
                results = await client.recognize([*self._images])
                self.longest_wait = max(self.longest_wait, perf_counter() - began)
                assert [result.digit for result in results] == self._expected
                self.answered[number] += 1
                self._turn[number + 1].set()
            # A client that ends before the last one begins would free a place on its host.
            await self._turn[CLIENTS].wait()

    def stop(self) -> None:
        self._is_over = True


async def writers_of(fleet: Fleet, mnist: Mnist) -> Writers:
    """Make clients that know the right answers."""
    async with seen_ending(fleet), fleet.client() as client:
        expected = [result.digit async for result in client.stream(mnist[0][:FRAMES])]
    return Writers(fleet, mnist, expected)


@asynccontextmanager
async def writing(fleet: Fleet, mnist: Mnist) -> AsyncIterator[Writers]:
    """Let clients send while the block lasts; fail at its end if an item was lost."""
    writers = await writers_of(fleet, mnist)
    async with seen_ending(fleet), asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            group.create_task(writers.write(number))
        try:
            await writers.flow()
            yield writers
            await writers.flow()
        finally:
            writers.stop()
    _LOG.info("%s items, slowest call %.2f s", sum(writers.answered) * FRAMES, writers.longest_wait)


@asynccontextmanager
async def seen_ending(fleet: Fleet) -> AsyncIterator[None]:
    """Leave the block once Envoy, which balances by open streams, has seen those of the block end."""
    before = fleet.proxy.streams()
    yield
    await eventually("Envoy has seen the end", lambda: fleet.proxy.streams() <= before)


async def settled(fleet: Fleet, *indices: int) -> None:
    """Wait until Envoy sends streams to these machines and to no other."""
    wanted = {fleet.machines[index].address for index in indices}
    await eventually(f"streams go to {wanted}", lambda: fleet.proxy.healthy() == wanted)


async def test_a_host_that_is_added_gets_the_next_streams_at_once(
    fleet: Fleet, mnist: Mnist
) -> None:
    await settled(fleet, 0, 1)
    async with writing(fleet, mnist):
        newcomer = fleet.machines[2]
        await asyncio.to_thread(fleet.start, newcomer)
        fleet.proxy.list_hosts(fleet.machines)
        await settled(fleet, 0, 1, 2)
        async with writing(fleet, mnist):
            # Twelve streams on two hosts, then twelve more: the least loaded host first, so all have eight.
            assert [fleet.streams(it) for it in fleet.machines] == [8, 8, 8]


async def test_load_spreads_evenly(fleet: Fleet, mnist: Mnist) -> None:
    await settled(fleet, 0, 1, 2)
    writers = await writers_of(fleet, mnist)
    before = np.array([fleet.items(it) for it in fleet.machines])
    await asyncio.gather(*(writers.write(number, calls=100) for number in range(CLIENTS)))
    shares = np.array([fleet.items(it) for it in fleet.machines]) - before
    assert shares.sum() == CLIENTS * 100 * FRAMES
    assert abs(shares / shares.mean() - 1).max() < 0.1, shares


async def test_a_killed_host_loses_no_item(fleet: Fleet, mnist: Mnist) -> None:
    await settled(fleet, 0, 1, 2)
    async with writing(fleet, mnist) as writers:
        await asyncio.to_thread(fleet.kill, fleet.machines[0])
        await writers.flow()
        await settled(fleet, 1, 2)
    fleet.start(fleet.machines[0])


async def test_a_host_that_is_cut_off_loses_no_item(fleet: Fleet, mnist: Mnist) -> None:
    await settled(fleet, 0, 1, 2)
    lost = fleet.machines[1]
    async with writing(fleet, mnist) as writers:
        lost.cut_off(fleet.pid(lost))
        try:
            await writers.flow()
            await settled(fleet, 0, 2)
        finally:
            lost.reconnect(fleet.pid(lost))
    await settled(fleet, 0, 1, 2)


async def test_a_rolling_upgrade_loses_no_item(fleet: Fleet, mnist: Mnist) -> None:
    await settled(fleet, 0, 1, 2)
    async with writing(fleet, mnist) as writers:
        for machine in fleet.machines:
            await asyncio.to_thread(fleet.stop, machine)
            await writers.flow()
            await asyncio.to_thread(fleet.start, machine)
            await settled(fleet, 0, 1, 2)


async def test_a_host_that_fails_every_call_but_reports_health_loses_no_item(
    fleet: Fleet, mnist: Mnist
) -> None:
    await settled(fleet, 0, 1, 2)
    ill = fleet.machines[2]
    async with writing(fleet, mnist) as writers:
        await asyncio.to_thread(fleet.stop, ill)
        await writers.flow()
        await asyncio.to_thread(fleet.start, ill, module="tests.system.failing_server")
        await settled(fleet, 0, 1, 2)
        put_aside = fleet.proxy.put_aside(ill)
        # It has no streams, so the next one goes there first and is retried elsewhere.
        async with writing(fleet, mnist):
            await eventually(
                "Envoy logs the ejection", lambda: fleet.proxy.put_aside(ill) > put_aside
            )


async def test_a_host_that_fails_every_call_is_ejected_even_with_one_other_host_left(
    fleet: Fleet, mnist: Mnist
) -> None:
    _, ill = pair = fleet.machines[:2]
    await asyncio.to_thread(fleet.stop, ill)
    await asyncio.to_thread(fleet.start, ill, module="tests.system.failing_server")
    fleet.proxy.list_hosts(pair)
    await settled(fleet, 0, 1)
    put_aside = fleet.proxy.put_aside(ill)
    async with writing(fleet, mnist):
        await eventually("Envoy logs the ejection", lambda: fleet.proxy.put_aside(ill) > put_aside)
