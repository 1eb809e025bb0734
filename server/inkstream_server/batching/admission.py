"""Decides on arrival whether an item can be answered in time. Knows rates and waits; computes nothing.

Rows of different networks cost differently. So what counts is work: rows times the measured cost of a row.

The estimated wait of an item has three parts. By Little's law, the work ahead of it in all networks, divided
by the rate at which the queue has emptied lately. The delay with which a busy event loop reaches the queue.
And transport's delay, which is measured at answers and counted twice: in a busy process, messages wait for
their sockets about as long as answers do. An item that would be late is rejected at once with a retry-after,
because a late answer costs as much as one in time and is of no use.
"""

from collections.abc import Callable
from math import ceil, exp
from random import random
from typing import Any, Final

from inkstream_server.batching.fair_queue import FairQueue, Flow, Priority

MEMORY_SECONDS: Final = 0.25
"""How long a measured rate counts: the weight of a sample falls to a third in that time. That is a hundred
batches, so a slow one rejects nothing, and a swap or a noisy neighbour shows soon."""

TRANSPORT_STEP: Final = 1.05
"""Factor by which the estimate of transport's delay rises or falls at each answer that took more or less. So
it follows the median, and slow readers do not raise it (Ma, Muthukrishnan and Sandler, "Frugal Streaming for
Estimating Quantiles", 2013). From 0.1 to 100 ms it takes 140 answers."""

TRANSPORT_SECONDS: Final = (1e-5, 10.0)
"""Minimum and maximum of that estimate."""

RETRY_WAITS: Final = 7.0
"""Mean retry-after, as a multiple of the time to the deadline, or of the estimated wait in a full queue. Each
caller gets a quarter to seven quarters of it, so that callers do not return in step. A rejection costs the
server about half as much as an answer, so callers that return after one wait would be load without
answers."""

CAUTION: Final = 1 / 1.5
"""Reject early with probability s ** 1.5, where s is the estimated wait as a share of the time to the
deadline. With a fixed threshold, all callers would back off in step, and leave the server without work.
Chosen, like RETRY_WAITS, by `benchmarks.goodput`: squares and fourth powers deliver less."""

RETRY_MS: Final = (100, 10_000)
"""Minimum and maximum of a retry-after, in milliseconds."""


class Overloaded(Exception):
    """A block was rejected because of load. Try again after `retry_after_ms`."""

    def __init__(self, reason: str, retry_after_ms: int) -> None:
        """Hold the reason, and the retry-after in milliseconds."""
        super().__init__(reason)
        self.retry_after_ms = retry_after_ms


class QueueFull(Overloaded):
    """The queue has no room for a block."""


class WouldBeLate(Overloaded):
    """A block's deadline would pass before its answer."""


class Admission:
    """Admits blocks to one queue. Times are seconds on one clock, work is in nanoseconds."""

    def __init__(self, max_images: int, chance: Callable[[], float] = random) -> None:
        """Let about as much work wait as so many images are; see `admit`.

        Args:
            max_images: how many.
            chance: gives random numbers from 0 to 1.
        """
        self._chance = chance
        self._max_images = max_images
        self.max_work = 0
        """Work that may wait; see `admit`."""
        self.measure(1)
        self._rate: float | None = None
        self._lag = 0.0
        self._transport, _ = TRANSPORT_SECONDS

    def measure(self, image_ns: int) -> None:
        """Note the work of an image, which gives the limit."""
        self.max_work = self._max_images * image_ns

    def emptied(self, work: int, seconds: float) -> None:
        """Note that so much work left the queue in so many seconds, while more waited."""
        if seconds > 0:
            fresh = 1 - exp(-seconds / MEMORY_SECONDS)
            rate = work / seconds
            self._rate = rate if self._rate is None else self._rate + fresh * (rate - self._rate)

    def came_round(self, seconds: float) -> None:
        """Note by how much the event loop reached the queue late."""
        if seconds > 0:
            self._lag += (seconds - self._lag) / 4

    def written(self, seconds: float) -> None:
        """Note how long transport took for an answer."""
        least, most = TRANSPORT_SECONDS
        if seconds > self._transport:
            self._transport = min(most, self._transport * TRANSPORT_STEP)
        else:
            self._transport = max(least, self._transport / TRANSPORT_STEP)

    def wait(
        self,
        queue: FairQueue[Any],
        flow: Flow[Any],
        priority: Priority,
        rows: int,
        row_ns: int,
    ) -> float:
        """Estimate the seconds from a caller's send to its receipt, for so many more rows of a stream."""
        around = self._lag + 2 * self._transport
        if not self._rate:
            return around
        return around + (queue.ahead(rows, flow, priority) + rows * row_ns) / self._rate

    def admit(
        self,
        queue: FairQueue[Any],
        flow: Flow[Any],
        priority: Priority,
        rows: int,
        row_ns: int,
        deadline: float | None,
        now: float,
    ) -> None:
        """Admit a block, or reject it.

        A full queue rejects only streams that have more than an equal share of it. So one stream cannot keep
        others out, nor images ink, and the queue may exceed its limit, to less than twice the limit in a
        class. If nothing waits, no deadline is too early, because the estimate may be old. If something does,
        a block is rejected with a probability that rises with its wait, and is 1 if it would be late; see
        `CAUTION`.

        Args:
            queue: what waits.
            flow: what the block's stream has in the queue.
            priority: the block's class.
            rows: its size.
            row_ns: the work of each of its rows.
            deadline: when its answer becomes worthless; None for never. A deadline that has passed does not
                reject: the batcher answers such a block with `DeadlineExpired`.
            now: the time.

        Raises:
            QueueFull: there is no room.
            WouldBeLate: the answer would come after the deadline, or may.
        """
        work = rows * row_ns
        if sum(queue.class_work[: priority + 1]) + work > self.max_work:
            share = self.max_work // queue.streams(priority, flow)
            if queue.own_work(flow, priority) + work > share:
                waiting = sum(queue.class_rows[: priority + 1])
                raise QueueFull(
                    f"{waiting} items wait, {rows} more would exceed the queue's "
                    f"limit of {self._max_images} images or as much work",
                    self._retry_ms(self.wait(queue, flow, priority, rows, row_ns)),
                )
        if deadline is not None and queue.rows and now < deadline:
            wait = self.wait(queue, flow, priority, rows, row_ns)
            left = deadline - now
            if wait > left * self._chance() ** CAUTION:
                raise WouldBeLate(
                    f"the deadline is {left * 1000:.0f} ms away, the answer about "
                    f"{wait * 1000:.0f} ms",
                    self._retry_ms(left),
                )

    def _retry_ms(self, seconds: float) -> int:
        """Give a retry-after, at random, so that callers do not return in step."""
        least, most = RETRY_MS
        wanted = seconds * RETRY_WAITS * (0.25 + 1.5 * self._chance())
        return min(most, max(least, ceil(wanted * 1000)))
