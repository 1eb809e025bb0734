"""Load from the client library. Checks every answer."""

import asyncio
import threading
from collections.abc import Iterator
from time import perf_counter

import numpy as np
import uvloop
from inkstream import AsyncClient, Client, OneImage

from benchmarks.load.digits import Digits
from benchmarks.load.figures import Figures, Meter, percentiles_ms
from benchmarks.servers.processes import Running


def stream(target: Running, digits: Digits, images: int) -> Figures:
    """Feed `Client.stream` one image at a time and read all results.

    Raises:
        Wrong: too many answers are wrong; the other functions here raise it too.
    """
    with Client(target.address) as client:
        client.recognize(digits.images[0])
        meter = Meter(target)
        answered = [result.digit for result in client.stream(_one_by_one(digits, images))]
        figures = meter.figures(images)
    digits.check(answered)
    return figures


def async_stream(target: Running, digits: Digits, images: int) -> Figures:
    """Feed `AsyncClient.stream` one image at a time and read all results."""

    async def run() -> tuple[Figures, list[int]]:
        async with AsyncClient(target.address) as client:
            await client.recognize(digits.images[0])
            meter = Meter(target)
            results = client.stream(_one_by_one(digits, images))
            answered = [result.digit async for result in results]
            return meter.figures(images), answered

    figures, answered = uvloop.run(run())
    digits.check(answered)
    return figures


def recognize(target: Running, digits: Digits, calls: int, threads: int) -> Figures:
    """Call `Client.recognize` with one image, `calls` times in all, from `threads` threads."""
    turns = _Turns(digits, calls)
    with Client(target.address) as client:
        client.recognize(digits.images[0])

        def caller() -> None:
            for number, image in turns:
                began = perf_counter()
                turns.answered[number] = client.recognize(image).digit
                turns.seconds[number] = perf_counter() - began

        callers = [threading.Thread(target=caller) for _ in range(threads)]
        meter = Meter(target)
        for thread in callers:
            thread.start()
        for thread in callers:
            thread.join()
        figures = meter.figures(calls)
    return figures | turns.figures()


def async_recognize(target: Running, digits: Digits, calls: int, tasks: int) -> Figures:
    """Call `AsyncClient.recognize` with one image, `calls` times in all, from `tasks` tasks."""
    turns = _Turns(digits, calls)

    async def caller(client: AsyncClient) -> None:
        for number, image in turns:
            began = perf_counter()
            turns.answered[number] = (await client.recognize(image)).digit
            turns.seconds[number] = perf_counter() - began

    async def run() -> Figures:
        async with AsyncClient(target.address) as client:
            await client.recognize(digits.images[0])
            meter = Meter(target)
            async with asyncio.TaskGroup() as callers:
                for _ in range(tasks):
                    callers.create_task(caller(client))
            return meter.figures(calls)

    return uvloop.run(run()) | turns.figures()


class _Turns:
    """Hands the next image to the next caller; a caller that fails leaves -1 as its answer."""

    def __init__(self, digits: Digits, calls: int) -> None:
        self._digits = digits
        self._next = enumerate(_one_by_one(digits, calls))
        self._lock = threading.Lock()
        self.answered = np.full(calls, -1)
        self.seconds = np.zeros(calls)

    def __iter__(self) -> Iterator[tuple[int, OneImage]]:
        while True:
            with self._lock:
                turn = next(self._next, None)
            if turn is None:
                return
            yield turn

    def figures(self) -> Figures:
        """Check the answers and return the latencies."""
        self._digits.check(self.answered.tolist())
        return percentiles_ms(self.seconds)


def _one_by_one(digits: Digits, count: int) -> Iterator[OneImage]:
    return (digits.images[number % len(digits.images)] for number in range(count))
