"""Decides at the door whether an item can be served in time. Knows rates and waits; computes nothing.

The wait of an item is estimated as Little's law has it: what is ahead of it, divided by the rate at which
the queue has been emptied lately; and the time after which the event loop, busy with others' messages,
comes round to the queue. What transport adds is seen at answers: where a process is short of time, messages
wait for its sockets, and answers for theirs, about as long. An item that would be late is refused at once,
with a time to come back, for serving it would cost as much and help nobody.
"""

from collections.abc import Callable
from math import ceil, exp
from random import random
from typing import Any, Final

from inkstream_server.batching.fair_queue import FairQueue, Flow, Priority

MEMORY_SECONDS: Final = 0.25
"""How long a measured rate counts: the weight of a sample falls to a third in that time. A hundred batches:
one that is slow does not turn callers away, and a swap or a noisy neighbour is noticed soon."""

TRANSPORT_STEP: Final = 1.05
"""By what factor the estimate of transport's share follows each answer that took longer, or less long. So it
tends to the median, and a caller who reads slowly does not sway it (Ma, Muthukrishnan and Sandler, "Frugal
Streaming for Estimating Quantiles", 2013); from 0.1 to 100 ms it takes 140 answers."""

TRANSPORT_SECONDS: Final = (1e-5, 10.0)
"""Least and most of that estimate."""

RETRY_WAITS: Final = 7.0
"""Times its deadline, or the estimated wait if it has none, that who is refused is asked to stay away, on
average: a quarter to seven quarters of that, lest all come back at once. Being refused costs the server about
half of what being served does: who came back after one wait would be a load that serves nobody."""

CAUTION: Final = 1 / 1.5
"""Of items whose wait is a share s of the time that is left, s ** 1.5 are refused. Were all let in up to a
point and none beyond it, all callers would be refused at once, stay away together, and leave the server
without work. Chosen, like RETRY_WAITS, by `benchmarks.goodput`: squares and fourth powers deliver less."""

RETRY_MS: Final = (100, 10_000)
"""Least and most of that."""


class Overloaded(Exception):
    """There is too much to do for one more block. Trying again makes sense, after `retry_after_ms`."""

    def __init__(self, reason: str, retry_after_ms: int) -> None:
        """Say why, and when to come back, in milliseconds."""
        super().__init__(reason)
        self.retry_after_ms = retry_after_ms


class QueueFull(Overloaded):
    """The queue has no room for a block."""


class WouldBeLate(Overloaded):
    """A block's deadline would pass before its turn comes."""


class Admission:
    """What one queue lets in. Times are seconds on one clock of the caller's choice."""

    def __init__(self, max_rows: int, chance: Callable[[], float] = random) -> None:
        """Let at most so many rows wait, but see `admit`; `chance` gives numbers from 0 to 1."""
        self._chance = chance
        self.max_rows = max_rows
        """Rows that may wait, but see `admit`."""
        self._rate: float | None = None
        self._lag = 0.0
        self._transport, _ = TRANSPORT_SECONDS

    def emptied(self, rows: int, seconds: float) -> None:
        """Note that so many rows left while more waited, from one batch to the next."""
        if seconds > 0:
            fresh = 1 - exp(-seconds / MEMORY_SECONDS)
            rate = rows / seconds
            self._rate = rate if self._rate is None else self._rate + fresh * (rate - self._rate)

    def came_round(self, seconds: float) -> None:
        """Note how much later than expected the event loop came round to the queue."""
        if seconds > 0:
            self._lag += (seconds - self._lag) / 4

    def written(self, seconds: float) -> None:
        """Note how long transport took to take an answer."""
        least, most = TRANSPORT_SECONDS
        if seconds > self._transport:
            self._transport = min(most, self._transport * TRANSPORT_STEP)
        else:
            self._transport = max(least, self._transport / TRANSPORT_STEP)

    def wait(self, queue: FairQueue[Any], flow: Flow[Any], priority: Priority, rows: int) -> float:
        """Estimate the seconds that so many more rows of a stream spend between their caller's two ends."""
        around = self._lag + 2 * self._transport
        if not self._rate:
            return around
        return around + (queue.ahead(rows, flow, priority) + rows) / self._rate

    def admit(
        self,
        queue: FairQueue[Any],
        flow: Flow[Any],
        priority: Priority,
        rows: int,
        deadline: float | None,
        now: float,
    ) -> None:
        """Let a block in, or refuse it.

        A queue is full for whoever has more than an equal share of it: a stream that fills it keeps nobody
        else out, and ink is not kept out by images. So it may exceed its limit, to less than twice the
        limit in a class. An empty queue refuses nobody: the estimate may be old.

        Of items whose wait is a part of the time that is left, some are refused by chance, the more the
        larger that part is, and all from 1 on; see `CAUTION`.

        Args:
            queue: what waits.
            flow: whose block it is.
            priority: its class.
            rows: its size.
            deadline: when it becomes worthless; None for never. One that has passed is not refused: to
                have expired is another answer.
            now: the time.

        Raises:
            QueueFull: there is no room.
            WouldBeLate: its turn would come after the deadline, or might.
        """
        waiting = sum(queue.class_rows[: priority + 1])
        if waiting + rows > self.max_rows:
            share = self.max_rows // queue.streams(priority, flow)
            if flow.rows[priority] + rows > share:
                raise QueueFull(
                    f"{waiting} items wait, {rows} more would exceed the queue's "
                    f"limit of {self.max_rows}",
                    self._retry_ms(self.wait(queue, flow, priority, rows)),
                )
        if deadline is not None and queue.rows and now < deadline:
            wait = self.wait(queue, flow, priority, rows)
            left = deadline - now
            if wait > left * self._chance() ** CAUTION:
                raise WouldBeLate(
                    f"the deadline is {left * 1000:.0f} ms away, the answer about "
                    f"{wait * 1000:.0f} ms",
                    self._retry_ms(left),
                )

    def _retry_ms(self, seconds: float) -> int:
        """Give a time to come back, another for each, lest all come back at once."""
        least, most = RETRY_MS
        wanted = seconds * RETRY_WAITS * (0.25 + 1.5 * self._chance())
        return min(most, max(least, ceil(wanted * 1000)))
