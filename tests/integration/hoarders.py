"""Callers that take what they can of a client while no answer comes, and the memory that this costs.

`python -m tests.integration.hoarders ADDRESS SECONDS WAY` repeats one way for some seconds and prints
resident megabytes before and after, the greatest between them, and how often the client said no.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from inkstream import AsyncClient, Client, InkstreamError, Overloaded, RetryPolicy

BOXES = [(50.0 * place, 0.0, 40.0, 60.0) for place in range(256)]
IMAGE = np.zeros((28, 28), np.uint8)
FLOATS = np.zeros((28, 28), np.float32)
_PATIENT = RetryPolicy(first_attempts=1 << 30, seconds=None)
"""Never gives up."""


def resident() -> float:
    """Resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def _clears(client: Client) -> Callable[[], object]:
    return client.pen().clear


def _strokes(client: Client) -> Callable[[], object]:
    pen = client.pen()
    return lambda: pen.stroke([(0, 0)])


def _strokes_and_clears(client: Client) -> Callable[[], object]:
    pen = client.pen()

    def act() -> None:
        pen.stroke([(0, 0), (9, 9)])
        pen.clear()

    return act


def _digits(client: Client) -> Callable[[], object]:
    pen = client.pen()

    def act() -> None:
        pen.stroke([(0, 0), (5, 30)])
        pen.end_glyph()

    return act


def _points(client: Client) -> Callable[[], object]:
    pen, turns = client.pen(), itertools.count()
    pen.down(0, 0, 0, 0.5)
    return lambda: pen.move(turn := next(turns) % 4000, -turn, turn * 997, 0.7)


def _erases(client: Client) -> Callable[[], object]:
    pen = client.pen()
    pen.stroke([(0, 0)])
    return lambda: pen.erase(1)


def _strokes_and_erases(client: Client) -> Callable[[], object]:
    pen = client.pen()
    return lambda: pen.erase(pen.stroke([(0, 0)]))


def _pens(client: Client) -> Callable[[], object]:
    return client.pen


def _boxes(client: Client) -> Callable[[], object]:
    return lambda: client.pen(boxes=BOXES)


def _other_boxes(client: Client) -> Callable[[], object]:
    turns = itertools.count()
    return lambda: client.pen(boxes=BOXES, quiet_ms=next(turns) % 60_000 + 1)


def _short_pens(client: Client) -> Callable[[], object]:
    def write() -> None:
        with client.pen() as pen:
            pen.stroke([(0, 0)])

    return write


def _silent_pens(client: Client) -> Callable[[], object]:
    return lambda: client.pen().close()


def _interims(client: Client) -> Callable[[], object]:
    pens = [client.pen(interims_per_second=60) for _ in range(32)]
    turns = itertools.count()

    def act() -> None:
        turn = next(turns)
        for pen in pens:
            if not turn % 4000:
                if turn:
                    pen.up()
                pen.down(0, 0)
            pen.move(turn % 90, turn % 70)

    return act


def _images(client: Client) -> Callable[[], object]:
    return lambda: client.submit(IMAGE)


def _floats(client: Client) -> Callable[[], object]:
    return lambda: client.submit(FLOATS)


def _late_images(client: Client) -> Callable[[], object]:
    return lambda: client.submit(IMAGE, deadline=0.0001)


def _streams(client: Client) -> Callable[[], object]:
    return lambda: next(iter(client.stream(itertools.repeat(IMAGE), deadline=0.01)))


WAYS: dict[str, Callable[[Client], Callable[[], object]]] = {
    "clears": _clears,
    "strokes": _strokes,
    "strokes and clears": _strokes_and_clears,
    "digits": _digits,
    "points": _points,
    "erases": _erases,
    "strokes and erases": _strokes_and_erases,
    "pens": _pens,
    "pens with the same boxes": _boxes,
    "pens with boxes of their own": _other_boxes,
    "short pens": _short_pens,
    "silent pens": _silent_pens,
    "interims": _interims,
    "images": _images,
    "images of floats": _floats,
    "images with a deadline": _late_images,
    "streams": _streams,
}
"""What a caller does again and again, by name."""
ASYNC_WAY = "async images given up"


def main(address: str, seconds: float, way: str) -> None:
    """Print `before after greatest calls refused`."""
    if way == ASYNC_WAY:
        asyncio.run(_give_up(address, seconds))
        return
    waits = "deadline" in way
    client = Client(
        address,
        retry=_PATIENT,
        when_full="wait" if waits else "raise",
        buffer=64 if waits else 65_536,
    )
    act = WAYS[way](client)
    before = greatest = resident()
    calls = refused = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        calls += 1
        try:
            act()
        except InkstreamError as error:
            refused += 1
            if isinstance(error, Overloaded) and not refused % 64:
                time.sleep(0.001)
        if not calls % 4096:
            greatest = max(greatest, resident())
    _print(before, greatest, calls, refused)


async def _give_up(address: str, seconds: float) -> None:
    """Hand over images, and give each up while it waits for room."""
    client = AsyncClient(address, buffer=64, retry=_PATIENT)
    before = greatest = resident()
    calls = refused = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        calls += 1
        task = asyncio.create_task(client.submit(IMAGE))
        await asyncio.sleep(0)
        refused += not task.done()
        task.cancel()
        if not calls % 4096:
            greatest = max(greatest, resident())
    _print(before, greatest, calls, refused)


def _print(before: float, greatest: float, calls: int, refused: int) -> None:
    after = resident()
    sys.stdout.write(f"{before:.0f} {after:.0f} {max(greatest, after):.0f} {calls} {refused}\n")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3])
