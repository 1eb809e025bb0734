from __future__ import annotations

import asyncio
import gc

import pytest
from inkstream_server.streams.eager_write import EagerWrite

from tests.unit.server.builders import turns


class Steps:
    """A coroutine that waits twice, and says how far it is."""

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


async def test_it_begins_in_place_and_goes_on_when_asked() -> None:
    steps = Steps()
    begun = EagerWrite(steps.run())
    assert steps.done == ["begun"]
    assert not begun.settle()
    steps.waits[0].set_result(None)
    await turns()
    assert steps.done == ["begun"], "it went on unasked"
    assert not begun.settle()
    steps.waits[1].set_result(None)
    assert begun.settle()
    assert steps.done == ["begun", "waited 0", "waited 1", "over"]
    assert begun.settle()


async def test_what_needs_no_wait_is_over_at_once() -> None:
    async def quick() -> None:
        await asyncio.sleep(0)

    assert EagerWrite(quick()).settle()


async def test_whoever_waits_for_the_rest_is_woken_at_its_end() -> None:
    steps = Steps()
    begun = EagerWrite(steps.run())
    waiting = [asyncio.create_task(begun.rest()) for _ in range(2)]
    for wait in steps.waits:
        await turns()
        assert not any(task.done() for task in waiting)
        wait.set_result(None)
    await asyncio.gather(*waiting)
    assert steps.done[-1] == "over"


async def test_a_waiter_who_is_cancelled_harms_nothing() -> None:
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


async def test_its_error_is_raised_once_to_whoever_asks() -> None:
    steps = Steps(ConnectionError("gone"))
    begun = EagerWrite(steps.run())
    for wait in steps.waits:
        wait.set_result(None)
    with pytest.raises(ConnectionError):
        begun.settle()
    assert begun.settle()


async def test_an_error_before_it_waits_is_raised_where_it_begins() -> None:
    async def broken() -> None:
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        EagerWrite(broken())


async def test_what_is_given_up_is_unwound() -> None:
    steps = Steps()
    begun = EagerWrite(steps.run())
    begun.close()
    assert steps.done == ["begun", "over"]
    assert begun.settle()


async def test_what_could_go_on_comes_to_its_end_rather_than_being_torn() -> None:
    steps = Steps(ConnectionError("gone"))
    begun = EagerWrite(steps.run())
    for wait in steps.waits:
        wait.set_result(None)
    begun.close()  # Its error is nobody's any more.
    assert steps.done == ["begun", "waited 0", "waited 1", "over"]


async def test_what_was_given_up_fails_in_silence() -> None:
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
