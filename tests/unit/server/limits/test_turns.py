from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Coroutine
from contextvars import ContextVar
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inkstream_server.limits.turns import (
    QUANTUM_SECONDS,
    TURN_SECONDS,
    Lane,
    Rank,
    Steps,
    Turns,
)

from tests.unit.server.builders import turns as rounds

COST = st.floats(1e-6, 2e-3)
"""What a step costs: from a small event to a digit that takes five turns of the loop."""


class Workbench:
    """Turns whose time passes only in steps, and a record of who worked when."""

    def __init__(self) -> None:
        self.now = 0.0
        self.turns = Turns(lambda: self.now)
        self.worked: list[tuple[str, float]] = []
        """Who did each step, and what it cost, in order."""
        self.round = 0
        """The number of the loop's turn; `count_rounds` counts."""
        self.of_round: dict[int, float] = {}
        """The cost of all steps in each turn of the loop."""

    def lane(self) -> Lane:
        return Lane(self.turns)

    def steps(self, name: str, costs: list[float]) -> Steps:
        for cost in costs:
            self.now += cost
            self.worked.append((name, cost))
            self.of_round[self.round] = self.of_round.get(self.round, 0.0) + cost
            yield False

    def spent(self, name: str, steps: int | None = None) -> float:
        """What the steps of one have cost, of the first so many steps of all."""
        return sum(cost for who, cost in self.worked[:steps] if who == name)

    async def finish(self) -> None:
        """Run the loop until nothing waits."""
        while self.turns.waiting:
            self.round += 1
            await asyncio.sleep(0)


def ends_at_once(coroutine: Coroutine[Any, Any, None]) -> bool:
    """Run a coroutine up to its first wait; give whether it had none."""
    try:
        coroutine.send(None)
    except StopIteration:
        return True
    coroutine.close()
    return False


async def test_work_that_comes_while_no_one_waits_is_done_at_once() -> None:
    bench = Workbench()
    lane = bench.lane()
    for _ in range(3):
        assert ends_at_once(lane.do(bench.steps("alone", [1e-5] * 3)))
    assert len(bench.worked) == 9


async def test_what_was_spent_alone_is_not_held_against_a_stream() -> None:
    bench = Workbench()
    old, new = bench.lane(), bench.lane()
    for _ in range(100):
        await old.do(bench.steps("alone", [TURN_SECONDS]))
        await asyncio.sleep(0)
    old.begin(bench.steps("old", [1e-5] * 200))
    new.begin(bench.steps("new", [1e-5] * 200))
    await bench.finish()
    half = 100 + 200
    assert bench.spent("old", half) == pytest.approx(bench.spent("new", half), abs=3e-4)


async def test_work_outside_of_turns_counts() -> None:
    bench = Workbench()
    charged, other = bench.lane(), bench.lane()
    other.begin(bench.steps("other", [1e-5] * 200))
    charged.charge(1e-3)
    charged.begin(bench.steps("charged", [1e-5] * 200))
    await bench.finish()
    first = [who for who, _ in bench.worked].index("charged")
    assert bench.spent("other", first) == pytest.approx(1e-3, abs=QUANTUM_SECONDS + 2e-5)


@given(costs=st.lists(st.lists(COST, min_size=1, max_size=20), min_size=1, max_size=6))
async def test_all_work_is_done_in_order_and_each_turn_of_the_loop_is_bounded(
    costs: list[list[float]],
) -> None:
    bench = Workbench()
    for number, one in enumerate(costs):
        bench.lane().begin(bench.steps(str(number), one))
    await bench.finish()
    for number, one in enumerate(costs):
        assert [cost for who, cost in bench.worked if who == str(number)] == one
    longest = max(cost for one in costs for cost in one)
    assert max(bench.of_round.values()) <= TURN_SECONDS + longest + 1e-9


@given(
    first=st.lists(COST, min_size=40, max_size=60),
    second=st.lists(COST, min_size=40, max_size=60),
    third=st.lists(COST, min_size=40, max_size=60),
)
async def test_streams_that_wait_get_equal_time_however_many_steps_they_bring(
    first: list[float], second: list[float], third: list[float]
) -> None:
    bench = Workbench()
    work = {"a": first, "b": second, "c": third}
    for name, costs in work.items():
        bench.lane().begin(bench.steps(name, costs))
    await bench.finish()
    done = dict.fromkeys(work, 0)
    spent = dict.fromkeys(work, 0.0)
    longest = max(map(max, work.values()))
    for who, cost in bench.worked:
        done[who] += 1
        spent[who] += cost
        if any(done[name] == len(costs) for name, costs in work.items()):
            break  # From here on not all of them wait.
        assert max(spent.values()) - min(spent.values()) <= QUANTUM_SECONDS + longest + 1e-9


@given(
    heavy=st.integers(1, 12),
    cost=COST,
    before=st.integers(0, 30),
)
async def test_no_stream_waits_for_more_than_a_quantum_of_each_other(
    heavy: int, cost: float, before: int
) -> None:
    bench = Workbench()
    for number in range(heavy):
        bench.lane().begin(bench.steps(f"heavy {number}", [cost] * 500))
    await rounds(before)
    began = len(bench.worked)
    await bench.lane().do(bench.steps("light", [1e-6]))
    came = [who for who, _ in bench.worked].index("light")
    waited = sum(spent for _, spent in bench.worked[began:came])
    assert waited <= heavy * (QUANTUM_SECONDS + cost) + 1e-9


async def test_answers_go_before_input_and_interims_after_it() -> None:
    bench = Workbench()
    lane, order = bench.lane(), [Rank.INTERIM, Rank.INPUT, Rank.ANSWER, Rank.INPUT]
    for rank in order:
        lane.add(bench.steps(rank.name, [TURN_SECONDS]), rank)
    await bench.finish()
    assert [who for who, _ in bench.worked] == ["ANSWER", "INPUT", "INPUT", "INTERIM"]


async def test_work_whose_caller_left_is_dropped_and_holds_up_no_other() -> None:
    bench = Workbench()
    lane = bench.lane()
    leaving = asyncio.create_task(lane.do(bench.steps("gone", [TURN_SECONDS] * 5)))
    staying = asyncio.create_task(lane.do(bench.steps("here", [TURN_SECONDS] * 2)))
    await asyncio.sleep(0)
    done = len(bench.worked)
    leaving.cancel()
    await staying
    assert {who for who, _ in bench.worked[done:]} == {"here"}


async def test_a_stream_that_leaves_is_forgotten() -> None:
    bench = Workbench()
    lane = bench.lane()
    lane.begin(bench.steps("work", [1e-4] * 10))
    seen = weakref.ref(lane)
    del lane
    await bench.finish()
    await rounds(2)
    gc.collect()
    assert seen() is None


async def test_calls_of_a_connection_share_a_lane_while_one_is_open() -> None:
    shared = Turns()
    lane = shared.lane("ipv4:127.0.0.1:1")
    assert shared.lane("ipv4:127.0.0.1:1") is lane
    assert shared.lane("ipv4:127.0.0.1:2") is not lane
    seen = weakref.ref(lane)
    del lane
    gc.collect()
    assert seen() is None


async def test_what_a_step_raises_reaches_its_caller_and_no_one_else() -> None:
    bench = Workbench()

    def failing() -> Steps:
        yield from bench.steps("failing", [TURN_SECONDS] * 2)
        raise ValueError("wrong")

    lane = bench.lane()
    other = asyncio.create_task(bench.lane().do(bench.steps("other", [TURN_SECONDS] * 5)))
    with pytest.raises(ValueError, match="wrong"):
        await lane.do(failing())
    await other
    await lane.do(bench.steps("after", [1e-5]))
    assert bench.worked[-1][0] == "after"


async def test_a_step_runs_in_the_context_of_its_own_call() -> None:
    bench, call, seen = Workbench(), ContextVar[str]("call"), []

    def steps() -> Steps:
        for _ in range(3):
            bench.now += TURN_SECONDS
            seen.append(call.get())
            yield False

    async def serve(name: str) -> None:
        call.set(name)
        await bench.lane().do(steps())

    await asyncio.gather(serve("a"), serve("b"))
    assert sorted(seen) == ["a"] * 3 + ["b"] * 3


async def test_work_that_a_step_adds_waits_for_its_own_turn() -> None:
    bench = Workbench()
    lane = bench.lane()

    def adding() -> Steps:
        lane.add(bench.steps("added", [1e-5]), Rank.ANSWER)
        lane.begin(bench.steps("begun", [1e-5]))
        yield from bench.steps("adding", [1e-5])

    await lane.do(adding())
    await bench.finish()
    assert [who for who, _ in bench.worked] == ["adding", "added", "begun"]


async def test_work_that_puts_itself_aside_goes_on_where_it_stopped() -> None:
    bench = Workbench()
    lane, seen = bench.lane(), list[int]()

    def steps() -> Steps:
        for number in range(4):
            seen.append(number)
            yield number == 1

    work = steps()
    await lane.do(work)
    assert seen == [0, 1]
    assert not lane.is_waiting
    await lane.do(work)
    assert seen == [0, 1, 2, 3]
