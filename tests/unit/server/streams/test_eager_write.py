from __future__ import annotations

import asyncio
import gc

import pytest
from inkstream_server.streams.eager_write import EagerWrite

from tests.unit.server.builders import turns


class Steps:
    """A coroutine that waits twice and records its progress."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.waits: list[asyncio.Future[None]] = [
            asyncio.get_running_loop().create_future() for _ in range(2)
        ]
        self.done: list[str] = []
        self._failure = failure

    async def run(self) -> None:
        try:
            self.done.append("begun")
            for number, wait in enumerate(self.waits):
                await wait
                self.done.append(f"waited {number}")
            if self._failure:
                raise self._failure
        finally:
            self.done.append("over")


async def test_an_eager_write_starts_in_place_and_continues_when_asked() -> None:
    steps = Steps()
    begun = EagerWrite(steps.run())
    assert steps.done == ["begun"]
    assert not begun.settle()
    steps.waits[0].set_result(None)
    await turns()
    assert steps.done == ["begun"], "the coroutine continued without a request"
    assert not begun.settle()
    steps.waits[1].set_result(None)
    assert begun.settle()
    assert steps.done == ["begun", "waited 0", "waited 1", "over"]
    assert begun.settle()


async def test_a_write_without_a_wait_is_done_at_once() -> None:
    async def quick() -> None:
        await asyncio.sleep(0)

    assert EagerWrite(quick()).settle()


async def test_a_waiter_for_the_rest_is_woken_at_its_end() -> None:
    steps = Steps()
    begun = EagerWrite(steps.run())
    waiting = [asyncio.create_task(begun.rest()) for _ in range(2)]
    for wait in steps.waits:
        await turns()
        assert not any(task.done() for task in waiting)
        wait.set_result(None)
    await asyncio.gather(*waiting)
    assert steps.done[-1] == "over"


async def test_a_cancelled_waiter_does_not_cancel_the_write() -> None:
    steps = Steps()
    begun = EagerWrite(steps.run())
    waiting = asyncio.create_task(begun.rest())
    await turns()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert steps.done == ["begun"]
    for wait in steps.waits:
        wait.set_result(None)
    await begun.rest()
    assert steps.done[-1] == "over"


async def test_the_error_of_a_write_is_raised_once() -> None:
    steps = Steps(ConnectionError("gone"))
    begun = EagerWrite(steps.run())
    for wait in steps.waits:
        wait.set_result(None)
    with pytest.raises(ConnectionError):
        begun.settle()
    assert begun.settle()


async def test_an_error_before_the_first_wait_is_raised_at_the_start() -> None:
    async def broken() -> None:
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        EagerWrite(broken())


async def test_an_abandoned_write_is_unwound() -> None:
    steps = Steps()
    begun = EagerWrite(steps.run())
    begun.close()
    assert steps.done == ["begun", "over"]
    assert begun.settle()


async def test_an_abandoned_write_that_can_continue_finishes_first() -> None:
    steps = Steps(ConnectionError("gone"))
    begun = EagerWrite(steps.run())
    for wait in steps.waits:
        wait.set_result(None)
    begun.close()  # Its error is discarded.
    assert steps.done == ["begun", "waited 0", "waited 1", "over"]


async def test_the_failure_of_an_abandoned_write_is_not_logged() -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
    steps = Steps()
    begun = EagerWrite(steps.run())
    begun.close()
    steps.waits[0].set_exception(RuntimeError("the peer is gone"))
    steps.waits.clear()
    await turns()
    gc.collect()
    assert not complaints
