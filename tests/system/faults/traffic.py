"""Callers that recognise known digits continuously and record every outcome."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from inkstream import AsyncClient, InkstreamError
from inkstream_server.model_store import store

Images = npt.NDArray[np.uint8]

AT_ONCE = 8
"""Images that each caller has in flight."""


@dataclass
class Outcomes:
    """The outcome of every item that was sent."""

    right: int = 0
    wrong: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    """Latency of each answer, in the order of arrival."""

    @property
    def slowest(self) -> float:
        """Seconds of the slowest answer."""
        return max(self.seconds)

    @property
    def items(self) -> int:
        return self.right + self.wrong + self.errors.total()

    def __str__(self) -> str:
        parts = [f"{self.items:,} items, {self.right:,} right"]
        parts += [f"{self.wrong} wrong"] if self.wrong else []
        parts += [f"{count} {name}" for name, count in self.errors.items()]
        return ", ".join([*parts, f"slowest {self.slowest:.2f} s"])


class Traffic:
    """Callers of one address; `traffic` makes them."""

    def __init__(self, images: Images, expected: list[int], under_way: int) -> None:
        self.outcomes = Outcomes()
        self.under_way: Final = under_way
        """Items in flight at any time."""
        self._images = images
        self._expected = expected
        self._stop = asyncio.Event()
        self._grown = asyncio.Event()

    async def more(self, items: int) -> None:
        """Wait until this many more items have ended."""
        wanted = self.outcomes.items + items
        while self.outcomes.items < wanted:
            self._grown.clear()
            await self._grown.wait()

    def stop(self) -> None:
        """Send no more items."""
        self._stop.set()

    async def call(self, client: AsyncClient, first: int) -> None:
        """Recognise one image after the other until `stop`."""
        at = first
        while not self._stop.is_set():
            await self._recognize(client, at % len(self._images))
            at += 1

    async def _recognize(self, client: AsyncClient, at: int) -> None:
        began = perf_counter()
        try:
            result = await client.recognize(self._images[at])
        except InkstreamError as error:
            self.outcomes.errors[type(error).__name__] += 1
        else:
            if result.digit == self._expected[at]:
                self.outcomes.right += 1
            else:
                self.outcomes.wrong += 1
        self.outcomes.seconds.append(perf_counter() - began)
        self._grown.set()


@asynccontextmanager
async def traffic(
    address: str, images: Images, clients: int = 4, **options: Any
) -> AsyncIterator[Traffic]:
    """Run callers while the block lasts; at its end, wait for the items in flight.

    Args:
        address: of the server.
        images: uint8 (n, 28, 28), sent over and over.
        clients: number of clients, each with its own stream and `AT_ONCE` callers.
        options: of every client.
    """
    running = Traffic(images, expected_digits(images), clients * AT_ONCE)
    made = [AsyncClient(address, **options) for _ in range(clients)]
    calls = [
        asyncio.create_task(running.call(client, 97 * number))
        for number, client in enumerate(made * AT_ONCE)
    ]
    try:
        await running.more(1)
        yield running
        running.stop()
        async with asyncio.timeout(60):
            await asyncio.gather(*calls)
    finally:
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await asyncio.gather(*(client.close(0) for client in made))


def expected_digits(images: Images) -> list[int]:
    """The bundled model's answers without server, network or faults."""
    model = store.load(store.BUNDLED, "digits")
    flat = images.reshape(len(images), -1)
    rows = model.images.engine.max_rows
    parts = [model.images.engine.infer([flat[at : at + rows]]) for at in range(0, len(flat), rows)]
    digits: list[int] = np.concatenate(parts).argmax(axis=1).tolist()
    return digits
