"""A load that records what it sent and when, so that rates can be compared with it."""

from __future__ import annotations

import asyncio
import threading
from bisect import bisect_right
from collections import Counter
from itertools import pairwise
from time import time
from typing import Any

import numpy as np
import numpy.typing as npt
from inkstream.cli.writing.pen_simulator import draw_digits
from inkstream.v1 import ink_pb2
from inkstream.v1 import recognition_service_pb2 as pb

from tests.integration.contract import Stream, stub
from tests.unit.server.pens.events import BAR, ended, opened, stroke

TICK_SECONDS = 0.05
FRAMES = 20
"""Good frames a message; a second stream sends one bad frame among them."""
PENS = 4

LABELS = ("kiosk", "tablet", "pens")
"""The client label of each stream."""


class Ledger:
    """Counts of sent and answered items, by kind, at each moment."""

    def __init__(self) -> None:
        self.now: Counter[str] = Counter()
        self._moments: list[float] = []
        self._counts: list[Counter[str]] = []

    def note(self, moment: float) -> None:
        self._counts.append(Counter(self.now))
        self._moments.append(moment)

    def rate(self, what: str, start: float, end: float) -> float:
        """Return the rate of a kind between two moments of `time.time`."""
        first, last = (self._at(moment) for moment in (start, end))
        seconds = self._moments[last] - self._moments[first]
        return (self._counts[last][what] - self._counts[first][what]) / seconds

    def longest_gap(self, start: float, end: float) -> float:
        """Give the longest time between two notes in between, in seconds."""
        noted = self._moments[self._at(start) : self._at(end) + 1]
        return max(after - before for before, after in pairwise(noted))

    def _at(self, moment: float) -> int:
        found = bisect_right(self._moments, moment) - 1
        assert found >= 0, f"nothing was sent before {moment}"
        return found


class Load:
    """Streams of tensors and of pens that run in a thread until they are stopped."""

    def __init__(self, address: str) -> None:
        self.ledger = Ledger()
        self.failure: BaseException | None = None
        self._address = address
        self._began = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load")

    def __enter__(self) -> Load:
        self._thread.start()
        assert self._began.wait(30) or self.failure, "the load does not begin"
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        try:
            asyncio.run(self._send())
        except BaseException as failure:  # noqa: BLE001 (raised where the load is awaited)
            self.failure = failure

    async def _send(self) -> None:
        frames, _ = draw_digits(500)
        async with stub(self._address) as service, asyncio.TaskGroup() as tasks:
            good, mixed, pens = [await _open(service, label) for label in LABELS]
            readers = [tasks.create_task(self._read(stream)) for stream in (good, mixed, pens)]
            await pens.call.write(_ink([opened(pen) for pen in range(PENS)]))
            await self._ticks(good, mixed, pens, frames.reshape(-1, 784))
            for stream, reader in zip((good, mixed, pens), readers, strict=True):
                await stream.call.done_writing()
                await reader

    async def _ticks(
        self, good: Stream, mixed: Stream, pens: Stream, frames: npt.NDArray[np.uint8]
    ) -> None:
        clock = asyncio.get_running_loop()
        due = clock.time()
        tick = 0
        while not self._stop.is_set():
            part = np.roll(frames, tick * FRAMES, axis=0)[:FRAMES].tobytes()
            first = tick * FRAMES
            await good.send(sequences=range(first, first + FRAMES), uint8=part)
            # The second number does not rise, so that frame is answered with an error.
            numbers = [first, first, *range(first + 2, first + FRAMES)]
            await mixed.send(sequences=numbers, uint8=part)
            await pens.call.write(_ink(_writing(tick)))
            self.ledger.now += Counter(
                tensors=2 * FRAMES, good=2 * FRAMES - 1, invalid=1, glyphs=tick >= PENS, messages=3,
                points=len(BAR), kiosk=FRAMES, tablet=FRAMES,
            )  # fmt: skip
            self.ledger.note(time())
            self._began.set()
            tick += 1
            due += TICK_SECONDS
            await asyncio.sleep(max(0.0, due - clock.time()))

    async def _read(self, stream: Stream) -> None:
        while (response := await stream.receive()) is not None:
            self.ledger.now["responses"] += 1
            for group in response.tensors:
                self.ledger.now += Counter(f"digit {digit}" for digit in group.digits)
            stream.answers.responses.clear()


def _writing(tick: int) -> list[ink_pb2.InkEvent]:
    """Let the next pen end its last digit and write a stroke of the next one."""
    pen, number = tick % PENS, tick // PENS + 1
    return [*([ended(pen)] if number > 1 else []), *stroke(number, BAR, pen)]


def _ink(events: list[ink_pb2.InkEvent]) -> pb.StreamRecognizeRequest:
    return pb.StreamRecognizeRequest(ink=ink_pb2.InkEvents(events=events))


async def _open(service: Any, label: str) -> Stream:
    call = service.StreamRecognize()
    await call.write(pb.StreamRecognizeRequest(config=pb.StreamConfig(client_label=label)))
    stream = Stream(call)
    first = await stream.receive()
    assert first is not None
    assert first.HasField("opened")
    return stream
