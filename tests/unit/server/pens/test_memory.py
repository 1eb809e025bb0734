"""What pens hold is counted in bytes, and bounded."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Callable

import pytest
from inkstream.v1 import error_pb2, ink_pb2
from inkstream_server.limits.memory_book import USABLE
from inkstream_server.pens.limits import PenLimits

from tests.unit.server.builders import GatedEngine, GlyphEngine, NumberEngine, network
from tests.unit.server.pens.desk import Desk
from tests.unit.server.pens.events import (
    BAR,
    InkEvent,
    begun,
    cleared,
    closed,
    ended,
    erased,
    lifted,
    moved,
    opened,
    stroke,
)
from tests.unit.server.pens.test_pen import Hand

pytestmark = pytest.mark.no_cover  # Measuring it doubles its time.

PENS = 20


def boxes(count: int, pen: int) -> list[ink_pb2.Box]:
    """Boxes that no other pen has."""
    return [
        ink_pb2.Box(box=box + 1, area=ink_pb2.Area(x=box * 100 + pen, y=0.5, width=90, height=90))
        for box in range(count)
    ]


def unlike(pen: int) -> InkEvent:
    """A pen whose settings no other pen has."""
    quiet = 30_000 + pen
    return opened(pen, quiet_ms=quiet, short_quiet_ms=quiet - 1, interims_per_second=1 + pen % 60)


# What each of many pens does before it is weighed, and then.
SHAPES: dict[str, tuple[Callable[[int], list[InkEvent]], Callable[[int], list[InkEvent]]]] = {
    "pens": (lambda _: [], lambda pen: [unlike(pen)]),
    "boxes": (lambda _: [], lambda pen: [opened(pen, boxes=boxes(256, pen))]),
    "a first stroke": (lambda pen: [unlike(pen)], lambda pen: stroke(pen, pen=pen)),
    "strokes without points": (
        lambda pen: [unlike(pen), *stroke(1, pen=pen)],
        lambda pen: [it for number in range(2, 10) for it in (begun(number, pen), lifted(pen))],
    ),
    "points": (
        lambda pen: [unlike(pen), begun(1, pen), moved(BAR, pen)],
        lambda pen: [moved([(pen, 300)] * 500, pen) for _ in range(2)],
    ),
    "points, one by one": (
        lambda pen: [unlike(pen), begun(1, pen), moved(BAR, pen)],
        lambda pen: [moved([(pen, 300)], pen) for _ in range(100)],
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_what_pens_hold_is_counted(shape: str) -> None:
    before, then = SHAPES[shape]

    async def all_do(acts: Callable[[int], list[InkEvent]]) -> None:
        for pen in range(1, PENS + 1):
            await desk.take(*acts(pen))
            await desk.read()
            desk.glyphs.clear()
            desk.errors.clear()
            desk.workshop.engine.batches.clear()
            await asyncio.sleep(0)  # The loop forgets the timeout of the reading.

    desk = Desk()
    await all_do(
        lambda pen: before(pen) + then(pen)
    )  # What is made once, as Python's lists of free objects.
    desk = Desk()
    await all_do(before)
    counted = desk.account.held
    gc.collect()
    tracemalloc.start()
    try:
        await all_do(then)
        gc.collect()
        traced, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    counted = desk.account.held - counted
    assert not desk.errors
    assert 0.5 * counted < traced < 1.1 * counted


@pytest.mark.parametrize("make", [NumberEngine, GatedEngine, GlyphEngine])
async def test_answers_that_wait_hold_no_more_than_they_say(make: type[NumberEngine]) -> None:
    are_settled = make is NumberEngine

    def new() -> Desk:
        desk = Desk(engine=make())
        if make is GlyphEngine:
            desk.workshop.batcher.serve(network(desk.workshop.engine, kind="strokes"))
        return desk

    async def all_write(desk: Desk) -> None:
        for pen in range(1, 5):
            await desk.take(opened(pen))
            for number in range(1, 65):
                await desk.take(*stroke(number, pen=pen))
        if are_settled:
            for reply in desk.due:
                await reply.ready()

    warm, desk = new(), new()
    await all_write(warm)
    gc.collect()
    tracemalloc.start()
    try:
        await all_write(desk)
        gc.collect()
        traced, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(desk.due) == 64 * 4
    answers = sum(reply.size for reply in desk.due)
    assert traced < 1.05 * (desk.account.held + answers)
    for one in (warm, desk):
        if isinstance(one.workshop.engine, GatedEngine):
            one.workshop.engine.release(64 * 4)
        await one.workshop.dispatcher.close()


def limited(size: int) -> Desk:
    """A desk whose pens may hold `size` bytes."""
    desk = Desk()
    desk.account.limit = round(size / USABLE)
    return desk


def exhausted(desk: Desk) -> list[tuple[str, int, int]]:
    """Errors by pen: (field, pen, stroke). All say what to do, and when to try again."""
    for error in desk.errors:
        assert error.code == error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED
        assert error.retry_after_ms > 0
        assert "end digits or close pens" in error.message
    return [(error.field, error.ink.pen, error.ink.stroke) for error in desk.errors]


async def test_pens_that_find_no_room_are_refused_and_those_that_are_open_go_on() -> None:
    desk = limited(40_000)
    await desk.take(*[opened(pen, boxes=boxes(256, pen)) for pen in range(1, 9)])
    await desk.take(*stroke(1, pen=1), ended(1), *[closed(pen) for pen in (1, 2)], unlike(9))
    await desk.read()
    assert {it[:1] for it in exhausted(desk)} == {("open",)}
    assert {it[1] for it in exhausted(desk)} == {4, 5, 6, 7, 8}
    assert desk.story(1)[-1] == ("final", 1, (1,))
    assert 9 in desk.session._pens
    assert desk.account.kinds["ink"] <= 40_000


async def test_ink_that_finds_no_room_is_refused_and_what_was_accepted_is_answered() -> None:
    desk = limited(20_000)
    await desk.take(opened(1, quiet_ms=60_000))
    numbers = range(1, 40)
    for number in numbers:
        await desk.take(*stroke(number))
        await desk.read()
    refused = [stroke for _, _, stroke in exhausted(desk)]
    assert refused == [*range(refused[0], 40)]
    await desk.take(begun(100), moved([(0, 0)] * 4000), lifted(), ended())
    await desk.read()
    # Of the first that was refused, the beginning may have been accepted.
    state, _, strokes = desk.story()[-1]
    assert state == "final"
    assert strokes in (tuple(range(1, refused[0])), tuple(range(1, refused[0] + 1)))
    assert desk.account.kinds["ink"] < 5000
    desk.errors.clear()
    await desk.take(begun(200), moved([(0, 5)] * 1000), moved([(0, 5)] * 3000), lifted(), ended())
    await desk.read()
    assert exhausted(desk) == [("points", 1, 200)]
    assert desk.story()[-1] == ("final", 2, (200,))


async def test_pens_of_one_opening_share_their_boxes() -> None:
    desk = Desk()
    await desk.take(*[opened(pen, boxes=boxes(256, 7)) for pen in (1, 2, 3)])
    assert desk.account.held < 2 * 36 * 256
    await desk.take(*[closed(pen) for pen in (1, 2, 3)], opened(4))
    await desk.read()
    assert desk.account.held < 36 * 256


def test_ink_that_was_erased_counts_until_it_is_drawn() -> None:
    hand = Hand()
    hand.begin(1)
    hand.move([(0, 5)] * 4000)
    hand.lift()
    held = hand.account.held
    hand.erase(1)
    assert hand.account.held == held > 4000 * 8
    hand.asked.clear()  # With them goes what is to be drawn.
    assert hand.account.held < 4000


@pytest.mark.parametrize("last", [erased(1), cleared(), ended(), closed()])
async def test_all_bytes_come_back(last: InkEvent) -> None:
    desk = Desk()
    await desk.take(opened())
    bare = desk.account.held
    await desk.take(begun(1), moved(BAR), last)
    await desk.read()
    await desk.take(ended())
    await desk.read()
    desk.glyphs.clear()
    assert desk.account.held - bare < 500
    desk.session.end(lambda: None)
    await desk.session.ended()
    await desk.read()
    assert desk.account.held == 0


async def test_pens_share_what_they_remember_evenly() -> None:
    limits = PenLimits(remembered_strokes=8, remembered_by_stream=12)
    desk = Desk(limits)
    await desk.take(opened(1), *[it for n in range(1, 11) for it in (*stroke(n), ended())])
    await desk.take(begun(3), lifted(), begun(2), lifted())
    await desk.read()
    assert desk.faults(1) == [("stroke_begin.stroke", 3)]
    await desk.take(opened(2), *stroke(20), ended())
    await desk.take(begun(7), lifted(), begun(6), lifted())
    await desk.read()
    assert desk.faults(1)[1:] == [("stroke_begin.stroke", 7)]
