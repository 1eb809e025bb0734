"""The async client only: tasks, async sources, `async with`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest
from inkstream import AsyncClient, ClientClosed, DeadlineExceeded

from tests.patience import PATIENCE_SECONDS
from tests.unit.client.fake_server import FakeServer, frame


async def test_an_async_source_that_pauses_delays_no_result(fake: FakeServer) -> None:
    seen = asyncio.Event()

    async def live() -> AsyncIterator[np.ndarray]:
        yield frame(1)
        await seen.wait()
        yield frame(2)

    async with AsyncClient(fake.address) as client:
        results = client.stream(live())
        assert (await anext(results)).digit == 1
        seen.set()
        assert [result.digit async for result in results] == [2]


async def test_an_endless_source_is_read_no_further_than_two_windows_ahead(
    fake: FakeServer,
) -> None:
    last = 0

    async def endless() -> AsyncIterator[np.ndarray]:
        nonlocal last
        while True:
            yield frame(last % 10)
            last += 1

    async with AsyncClient(fake.address) as client:
        await client.recognize(frame(0))
        results = client.stream(endless())
        for read in range(1000):
            assert (await anext(results)).digit == read % 10
            assert last <= read + 2 * fake.window + 1


async def test_closing_does_not_wait_for_expired_images(fake: FakeServer) -> None:
    client = AsyncClient(fake.address)
    with pytest.raises(DeadlineExceeded):
        await client.recognize(frame(1), deadline=1e-6)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await client.close(grace=10 * PATIENCE_SECONDS)


async def test_closing_a_stream_early_stops_its_source(fake: FakeServer) -> None:
    ended = asyncio.Event()

    async def source() -> AsyncIterator[np.ndarray]:
        try:
            while True:
                yield frame(1)
        finally:
            ended.set()

    async with AsyncClient(fake.address) as client:
        results = client.stream(source())
        await anext(results)
        await results.aclose()  # type: ignore[attr-defined]  # it is an async generator
        await asyncio.wait_for(ended.wait(), 30)
        assert (await client.recognize(frame(3))).digit == 3


async def test_cancelling_a_task_does_not_affect_another(fake: FakeServer) -> None:
    fake.answering.clear()
    async with AsyncClient(fake.address) as client:
        tasks = [asyncio.create_task(client.recognize(frame(n))) for n in range(8)]
        assert await asyncio.to_thread(fake.arrived.acquire, timeout=30)
        tasks[3].cancel()
        fake.answering.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results.pop(3), asyncio.CancelledError)
    assert [getattr(result, "digit", result) for result in results] == [0, 1, 2, 4, 5, 6, 7]


async def test_calls_of_one_turn_share_a_message(fake: FakeServer) -> None:
    async with AsyncClient(fake.address) as client:
        await client.recognize(frame(0))
        await asyncio.gather(*(client.recognize(frame(n)) for n in range(10)))
    assert [len(message.sequences) for message in fake.messages] == [1, 10]


async def test_an_image_cancelled_before_it_is_sent_is_not_sent(
    fake: FakeServer,
) -> None:
    async with AsyncClient(fake.address) as client:
        early = asyncio.create_task(client.recognize(frame(1)))
        await asyncio.sleep(0)
        early.cancel()
        assert (await client.recognize(frame(2))).digit == 2
    assert [len(message.sequences) for message in fake.messages] == [1]


def test_a_second_event_loop_is_refused(fake: FakeServer) -> None:
    client = AsyncClient(fake.address)

    async def use_and_close() -> None:
        await client.recognize(frame(1))
        await client.close()

    asyncio.run(use_and_close())
    with pytest.raises(RuntimeError, match="one event loop"):
        asyncio.run(use_and_close())


async def test_leaving_the_with_block_by_an_error_does_not_wait(fake: FakeServer) -> None:
    fake.answering.clear()
    with pytest.raises(ZeroDivisionError):
        async with AsyncClient(fake.address) as client:
            future = await client.submit(frame(1))
            assert await asyncio.to_thread(fake.arrived.acquire, timeout=30)
            raise ZeroDivisionError
    with pytest.raises(ClientClosed):
        await future
