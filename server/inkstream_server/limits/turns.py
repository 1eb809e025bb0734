"""Shares the event loop's time among streams by the seconds that their work has cost.

Start-time fair queueing: Goyal, Vin and Cheng, "Start-time Fair Queueing" (SIGCOMM 1996). Of the streams that
wait, the one that has cost least is next, and a stream that comes back from a pause starts level with the
others. So a light stream waits for no heavy one, however many events or digits either brings.

All this work together takes at most about `TURN_SECONDS` of each turn of the event loop; images, reads and
writes get the rest. Costs are measured, never estimated. Knows steps of work; nothing of ink.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextvars import Context, copy_context
from enum import IntEnum
from heapq import heappop, heappush
from time import perf_counter
from typing import Final
from weakref import WeakValueDictionary

TURN_SECONDS: Final = 0.0004
"""Longest time that steps take of one turn of the event loop, up to the length of one step. An image passes
through about four turns until its answer has left, so it waits four times as long."""

QUANTUM_SECONDS: Final = 0.0002
"""Time that one stream works before the next one's turn: two digits are drawn in it."""

Steps = Iterator[bool]
"""Work in steps: every `next` does one, some microseconds of work; the work is over when there is none. A
step that gives True puts the rest aside: `Lane.do` returns, and may be called with the rest later."""


class Rank(IntEnum):
    """The order of the work of one stream. Between streams, cost alone decides."""

    ANSWER = 0
    """What an answer waits for: a digit to draw, a pen that is due."""
    INPUT = 1
    """What the stream has brought."""
    INTERIM = 2
    """A digit to draw that is still being written."""


class Turns:
    """Whose turn it is in one event loop."""

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        """Start without work; `clock` gives seconds, by which costs are measured."""
        self._clock = clock
        # The lanes that wait, each with its cost when it began to; the number makes the order strict.
        self._waiting: list[tuple[float, int, Lane]] = []
        self._number = 0
        # The cost at which the lane that worked last began. One that begins to wait starts from there.
        self._level = 0.0
        self._left = TURN_SECONDS
        self._is_working = False
        self._is_scheduled = False
        self._connections: WeakValueDictionary[str, Lane] = WeakValueDictionary()

    def lane(self, peer: str) -> "Lane":
        """Give the lane that all unary calls of a connection share while one of them is open.

        Args:
            peer: names the connection, as gRPC does.
        """
        lane = self._connections.get(peer)
        if lane is None:
            lane = self._connections[peer] = Lane(self)
        return lane

    @property
    def waiting(self) -> int:
        """Number of streams that wait."""
        return len(self._waiting)

    def _goes_now(self, lane: "Lane", steps: Steps) -> bool:
        """Work at once if it would be the lane's turn next; give whether the work is over."""
        lane.cost = max(lane.cost, self._level)
        if self._is_working or self._left <= 0:
            return False
        if self._waiting and self._waiting[0][0] < lane.cost:
            return False
        self._level = lane.cost
        return self._work(lane, steps)

    def _wait(self, lane: "Lane") -> None:
        if not lane.is_waiting:
            lane.is_waiting = True
            lane.cost = max(lane.cost, self._level)
            self._number += 1
            heappush(self._waiting, (lane.cost, self._number, lane))
            self._schedule()

    def _work(self, lane: "Lane", steps: Steps) -> bool:
        """Do steps of a lane for at most a quantum; give whether the work is over."""
        clock = self._clock
        began = clock()
        end = began + min(QUANTUM_SECONDS, self._left)
        self._is_working = True
        is_over = True
        try:
            for is_put_aside in steps:
                if is_put_aside:
                    break
                if clock() >= end:
                    is_over = False
                    break
        finally:
            self._is_working = False
            self._charge(lane, clock() - began)
        return is_over

    def _charge(self, lane: "Lane", seconds: float) -> None:
        lane.cost = max(lane.cost, self._level)
        if not self._waiting:
            self._level = lane.cost
        lane.cost += seconds
        self._left -= seconds
        self._schedule()

    def _schedule(self) -> None:
        # After work at once, too: the next turn of the loop has its own time.
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._is_scheduled = False
        self._left = TURN_SECONDS
        try:
            while self._waiting and self._left > 0:
                cost, _, lane = heappop(self._waiting)
                lane.is_waiting = False
                if lane.cost > cost:
                    self._wait(lane)  # It was charged while it waited.
                else:
                    self._level = cost
                    lane._go_on()
        finally:
            if self._waiting:
                self._schedule()


class Lane:
    """The work of one stream, or of one caller's unary calls. Use it in one event loop."""

    __slots__ = ("__weakref__", "_number", "_turns", "_work", "cost", "is_waiting")

    def __init__(self, turns: Turns) -> None:
        """Start without work."""
        self._turns = turns
        # By rank, then in order; each in the context of its call, which logs and traces name.
        self._work: list[tuple[Rank, int, Steps, asyncio.Future[None] | None, Context]] = []
        self._number = 0
        self.cost = 0.0
        """Seconds that its work has cost, counted from where the others were when it began."""
        self.is_waiting = False
        """Whether it is in line."""

    async def do(self, steps: Steps, rank: Rank = Rank.INPUT) -> None:
        """Have work done, at once if no other work's turn is due. Cancelling drops what is left of it.

        Raises: what a step raises.
        """
        if not self._work and self._turns._goes_now(self, steps):
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._add(steps, rank, done)
        await done

    def begin(self, steps: Steps, rank: Rank = Rank.INPUT) -> None:
        """Like `do`, but do not wait for the end. What a later step raises goes to the loop's handler."""
        if self._work or not self._turns._goes_now(self, steps):
            self._add(steps, rank, None)

    def add(self, steps: Steps, rank: Rank) -> None:
        """Have work done when its turn comes. What a step raises goes to the event loop's handler."""
        self._add(steps, rank, None)

    def charge(self, seconds: float) -> None:
        """Count work that the stream cost outside of its turns."""
        self._turns._charge(self, seconds)

    def _add(self, steps: Steps, rank: Rank, done: asyncio.Future[None] | None) -> None:
        self._number += 1
        heappush(self._work, (rank, self._number, steps, done, copy_context()))
        self._turns._wait(self)

    def _go_on(self) -> None:
        """Work for a quantum, then wait again if more is to be done."""
        work = heappop(self._work)
        _, _, steps, done, context = work
        try:
            if done is not None and done.done():
                return  # It was cancelled.
            if not context.run(self._turns._work, self, steps):
                heappush(self._work, work)
            elif done is not None:
                done.set_result(None)
        except Exception as error:
            if done is None:
                raise
            done.set_exception(error)
        finally:
            if self._work:
                self._turns._wait(self)
