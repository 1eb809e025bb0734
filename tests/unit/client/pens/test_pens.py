"""Input that a pen accepts and refuses, and the ends of loops over its results, without a server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from inkstream import (
    AsyncPen,
    ClientClosed,
    ConnectionLost,
    GlyphResult,
    GlyphState,
    InkstreamError,
    InvalidInk,
    InvalidRequest,
    Overloaded,
    Pen,
)
from inkstream._options.pen import PenOptions
from inkstream._pens.exchange import InkExchange
from inkstream._pens.outbox import InkOutbox
from inkstream.v1 import error_pb2, ink_pb2
from inkstream.v1 import recognition_service_pb2 as wire

FINAL, PROVISIONAL = ink_pb2.GLYPH_STATE_FINAL, ink_pb2.GLYPH_STATE_PROVISIONAL


class Desk:
    """Pens, and a stream whose answers a test writes."""

    def __init__(self, most_points: int = 10_000) -> None:
        self.outbox = InkOutbox(packet_seconds=0.02, most_points=most_points)
        self.exchange = InkExchange(self.outbox)

    def pen(self, on_result: Any = None, timings: bool = False, **options: Any) -> Pen:
        opening = PenOptions(**options).opening(timings=timings)
        return Pen(self.outbox, opening, lambda: None, on_result)

    def async_pen(self) -> AsyncPen:
        opening = PenOptions().opening(timings=False)
        return AsyncPen(self.outbox, opening, lambda: None, None)

    def sent(self) -> list[ink_pb2.InkEvent]:
        message = self.exchange.next_message(at_once=True)
        return [] if message is None else [*message.ink.events]

    def answer(
        self, pen: int, strokes: list[int], state: ink_pb2.GlyphState = FINAL, glyph: int = 1
    ) -> None:
        result = ink_pb2.GlyphResult(pen=pen, glyph=glyph, state=state, strokes=strokes, digit=7)
        self.exchange.receive(wire.StreamRecognizeResponse(glyphs=[result]))


@pytest.fixture
def desk() -> Desk:
    return Desk()


def kinds(events: list[ink_pb2.InkEvent]) -> list[str | None]:
    return [event.WhichOneof("event") for event in events]


def test_single_points_and_arrays_send_the_same(desk: Desk) -> None:
    singly, at_once = desk.pen(units="px"), desk.pen(units="px")
    rows = [(10, 12, 5, 0.5), (11, 15, 15, 0.6), (9.5, 20, 25, 0.7)]
    number = singly.down(*rows[0])
    for row in rows[1:]:
        singly.move(*row)
    singly.up()
    assert at_once.stroke(rows) == number == 1
    events = desk.sent()
    one, other = events[:4], events[4:]
    assert kinds(one) == kinds(other) == ["open", "stroke_begin", "points", "stroke_end"]
    assert one[1].stroke_begin.time_ms == 5
    assert one[2].points == other[2].points
    assert [*one[2].points.dx] == [160, 16, -24]


def test_many_points_may_follow_the_first(desk: Desk) -> None:
    pen = desk.pen()
    pen.down(0, 0)
    pen.points(np.arange(12_000).reshape(-1, 2) / 16)
    pen.up()
    (points,) = [event.points for event in desk.sent() if event.HasField("points")]
    assert (len(points.dx), sum(points.dx), sum(points.dy)) == (6001, 11_998, 11_999)


@pytest.mark.parametrize(
    "act",
    [
        lambda pen: pen.move(1, 1),
        lambda pen: pen.points([(1, 1)]),
        lambda pen: pen.up(),
        lambda pen: pen.erase(1),
        lambda pen: pen.stroke(np.empty((0, 2))),
        lambda pen: pen.stroke([(np.nan, 1)]),
        lambda pen: pen.stroke([(1, 1), (2,)]),
        lambda pen: pen.stroke([(10**400, 1)]),
        lambda pen: pen.down(float("inf"), 0),
    ],
)
def test_invalid_input_is_refused_and_sends_nothing(
    desk: Desk, act: Callable[[Pen], object]
) -> None:
    pen = desk.pen()
    with pytest.raises(InvalidInk):
        act(pen)
    assert desk.sent() == []


@pytest.mark.parametrize(
    "act",
    [
        lambda pen: pen.down(0, 0, t=1e30),
        lambda pen: pen.stroke([(0, 0, 1e30), (1, 1, 1e30)]),
        lambda pen: pen.stroke([(0, 0, 0), (1, 1, 1e30)]),
        lambda pen: pen.stroke([(1e308, 0), (1, 1)]),
    ],
)
@pytest.mark.filterwarnings("error")
def test_out_of_range_numbers_are_refused_at_the_call(
    desk: Desk, act: Callable[[Pen], object]
) -> None:
    with pytest.raises(InvalidInk, match=r"^(t|x, y): expected"):
        act(desk.pen())
    assert desk.sent() == []


def test_a_clock_of_a_pen_may_begin_at_0(desk: Desk) -> None:
    pen = desk.pen()
    pen.stroke([(0, 0, 0), (5, 30, 200)])
    pen.stroke([(0, 0)])
    pen.down(3, 0, 9000)
    begins = [e.stroke_begin for e in desk.sent() if e.HasField("stroke_begin")]
    assert [begin.time_ms for begin in begins] == [1, 0, 9001]


def test_down_is_refused_while_the_tip_is_down(desk: Desk) -> None:
    pen = desk.pen()
    pen.down(0, 0)
    with pytest.raises(InvalidInk, match="down already"):
        pen.down(1, 1)
    with pytest.raises(InvalidInk, match="down already"):
        pen.stroke([(1, 1)])
    pen.move(2, 2)
    assert kinds(desk.sent()) == ["open", "stroke_begin", "points"]


def test_a_point_refused_for_lack_of_room_can_be_written_again() -> None:
    desk = Desk(most_points=2)
    pen = desk.pen(counts_per_unit=1)
    pen.down(0, 0)
    pen.move(5, 5)
    with pytest.raises(Overloaded):
        pen.move(9, 9)
    first = desk.sent()[2].points
    pen.move(9, 9)
    (second,) = desk.sent()
    assert [*first.dx, *second.points.dx] == [0, 5, 4]


def test_an_array_refused_for_lack_of_room_does_not_change_the_stroke() -> None:
    desk = Desk(most_points=3)
    pen = desk.pen(counts_per_unit=1)
    pen.down(1, 1)
    with pytest.raises(Overloaded):
        pen.points([(2, 2), (3, 3), (4, 4)])
    pen.points([(5, 5), (9, 9)])
    assert [*desk.sent()[2].points.dx] == [1, 4, 4]


def test_a_stroke_larger_than_the_buffer_is_refused_with_what_to_do(desk: Desk) -> None:
    with pytest.raises(InvalidInk, match=r"at most 10000 at once \(ink_buffer\), got 1000000;"):
        desk.pen().stroke(np.zeros((1_000_000, 2)))
    assert desk.sent() == []


def test_erasing_an_unknown_stroke_is_refused(desk: Desk) -> None:
    pen = desk.pen()
    with pytest.raises(InvalidInk, match=r"^stroke: the pen has no strokes yet, got 7$"):
        pen.erase(7)
    pen.stroke([(1, 1)])
    with pytest.raises(InvalidInk, match=r"^stroke: expected 1 to 1, got 7$"):
        pen.erase(7)


def test_a_closed_client_refuses_points(desk: Desk) -> None:
    pen = desk.pen()
    pen.down(0, 0)
    desk.outbox.close()
    with pytest.raises(ClientClosed):
        pen.move(1, 1)
    with pytest.raises(ClientClosed):
        pen.points([(1, 1)])
    with pytest.raises(ClientClosed):
        pen.up()


def test_end_glyph_lifts_the_tip_and_does_nothing_without_ink(desk: Desk) -> None:
    pen = desk.pen()
    pen.end_glyph()
    assert desk.sent() == []
    pen.down(0, 0)
    pen.end_glyph()
    pen.end_glyph()
    assert kinds(desk.sent())[2:] == ["points", "stroke_end", "glyph_end"]


def test_the_stroke_that_is_drawn_may_be_erased(desk: Desk) -> None:
    pen = desk.pen()
    pen.down(0, 0)
    pen.erase(1)
    assert kinds(desk.sent())[-1] == "stroke_remove"
    desk.answer(1, [], PROVISIONAL)
    desk.answer(1, [])
    assert [result.is_final for result in pen] == [False, True]
    with pytest.raises(InvalidInk, match="tip is up"):
        pen.move(1, 1)
    assert pen.stroke([(1, 1)]) == 2
    with pytest.raises(InvalidInk, match="expected 1 to 2"):
        pen.erase(3)


def test_cleared_ink_awaits_no_answer(desk: Desk) -> None:
    pen = desk.pen()
    pen.stroke([(0, 0)])
    pen.clear()
    assert list(pen) == []
    assert desk.sent() == [], "nothing of it left before"
    pen.stroke([(0, 0)])
    desk.sent()
    pen.clear()
    assert list(pen) == []
    assert kinds(desk.sent()) == ["clear"]


def test_a_loop_in_the_thread_that_writes_ends_with_the_last_final_answer(desk: Desk) -> None:
    pen = desk.pen()
    pen.stroke([(0, 0)])
    pen.stroke([(1, 0)])
    desk.sent()
    desk.answer(1, [1], PROVISIONAL)
    desk.answer(1, [1, 2], PROVISIONAL)
    desk.answer(1, [1, 2])
    assert [result.state for result in pen] == [
        GlyphState.PROVISIONAL,
        GlyphState.PROVISIONAL,
        GlyphState.FINAL,
    ]
    pen.stroke([(9, 0)])
    desk.sent()
    desk.answer(1, [3], glyph=2)
    assert [result.glyph for result in pen] == [2]


def test_a_loop_ends_after_end_glyph_without_ink(desk: Desk) -> None:
    pen = desk.pen()
    pen.end_glyph()
    assert list(pen) == []


def test_a_loop_that_began_before_the_first_stroke_waits_for_it(desk: Desk) -> None:
    pen, is_read = desk.pen(), threading.Event()

    def write() -> None:
        pen.stroke([(0, 0)])
        desk.sent()
        desk.answer(1, [1])
        assert is_read.wait(30)
        pen.close()

    with ThreadPoolExecutor() as threads:
        writer = threads.submit(write)
        assert [is_read.set() or result.glyph for result in pen] == [1]  # type: ignore[func-returns-value]
        writer.result(30)


def test_a_loop_waits_for_the_final_answer_to_a_digit_whose_strokes_were_erased(
    desk: Desk,
) -> None:
    pen = desk.pen()
    pen.stroke([(0, 0)])
    pen.erase(1)
    pen.end_glyph()
    desk.sent()
    desk.answer(1, [1], PROVISIONAL)
    desk.answer(1, [], PROVISIONAL)
    results = iter(pen)
    reported = [next(results), next(results)]
    with ThreadPoolExecutor() as threads:
        threads.submit(desk.answer, 1, [])
        reported += results
    assert [(result.strokes, result.is_final) for result in reported] == [
        ((1,), False),
        ((), False),
        ((), True),
    ]


def test_a_closed_pen_that_erased_all_gets_the_final_answer(desk: Desk) -> None:
    pen = desk.pen()
    pen.stroke([(0, 0)])
    desk.sent()
    desk.answer(1, [1], PROVISIONAL)
    pen.erase(1)
    pen.close()
    desk.sent()
    desk.answer(1, [], PROVISIONAL)
    desk.answer(1, [])
    assert [result.is_final for result in pen] == [False, False, True]


def test_a_loop_in_another_thread_waits_until_the_pen_is_closed(desk: Desk) -> None:
    pen, came = desk.pen(), threading.Semaphore(0)

    def read() -> list[int]:
        return [came.release() or result.glyph for result in pen]  # type: ignore[func-returns-value]

    pen.stroke([(0, 0)])
    with ThreadPoolExecutor() as threads:
        reader = threads.submit(read)
        desk.sent()
        desk.answer(1, [1])
        assert came.acquire(timeout=30)
        pen.stroke([(9, 0)])
        pen.close()
        desk.sent()
        desk.answer(1, [2], glyph=2)
        assert reader.result(30) == [1, 2]


def test_a_loop_that_waits_ends_when_the_client_is_closed(desk: Desk) -> None:
    pen = desk.pen()
    pen.stroke([(0, 0)])
    with ThreadPoolExecutor() as threads:
        reader = threads.submit(list, pen)
        desk.outbox.close()
        desk.outbox.fail(ClientClosed("closed"))
        assert isinstance(reader.exception(30), ClientClosed)


def test_an_error_is_raised_in_its_turn_and_the_loop_can_continue(desk: Desk) -> None:
    pen = desk.pen()
    pen.stroke([(0, 0)])
    desk.sent()
    desk.exchange.give_back()
    desk.outbox.fail(ConnectionLost("gone"))
    with pytest.raises(ConnectionLost):
        list(pen)
    assert list(pen) == []


def test_an_error_that_came_with_the_final_answer_is_raised(desk: Desk) -> None:
    with desk.pen() as pen:
        pen.stroke([(0, 0)])
    desk.sent()
    error = error_pb2.ItemError(
        ink=error_pb2.InkItem(pen=1, stroke=1),
        code=error_pb2.ERROR_CODE_INVALID_ARGUMENT,
        field="points",
    )
    with ThreadPoolExecutor() as threads:
        reader = threads.submit(list, pen)
        final = ink_pb2.GlyphResult(pen=1, glyph=1, state=FINAL, strokes=[1])
        desk.exchange.receive(wire.StreamRecognizeResponse(glyphs=[final], errors=[error]))
        assert isinstance(reader.exception(30), InvalidInk)
    assert list(pen) == []


def test_a_callback_gets_results_and_errors_and_may_fail(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    got: list[GlyphResult | InkstreamError] = []

    def on_result(item: GlyphResult | InkstreamError) -> None:
        got.append(item)
        raise ZeroDivisionError("a callback of the caller's")

    pen = desk.pen(on_result)
    pen.stroke([(0, 0)])
    pen.stroke([(9, 0)])
    desk.sent()
    desk.answer(1, [1])
    error = error_pb2.ItemError(
        ink=error_pb2.InkItem(pen=1, glyph=2), code=error_pb2.ERROR_CODE_INTERNAL
    )
    desk.exchange.receive(wire.StreamRecognizeResponse(errors=[error]))
    assert [type(item).__name__ for item in got] == ["GlyphResult", "EngineFailed"]
    assert "on_result of pen 1 failed" in caplog.text


def test_a_closed_pen_writes_nothing(desk: Desk) -> None:
    with desk.pen() as pen:
        pen.stroke([(0, 0)])
    assert pen.is_closed
    pen.close()
    for act in (lambda: pen.stroke([(1, 1)]), pen.end_glyph, pen.clear, lambda: pen.erase(1)):
        with pytest.raises(ClientClosed):
            act()
    assert kinds(desk.sent())[-1] == "close"


async def test_an_async_loop_waits_and_ends_like_a_sync_one(desk: Desk) -> None:
    async with desk.async_pen() as pen:
        pen.stroke([(0, 0)])
        desk.sent()
        loop = asyncio.get_running_loop()
        loop.call_soon(desk.answer, pen.number, [1], PROVISIONAL)
        loop.call_later(0.001, desk.answer, pen.number, [1])
        assert [result.is_final async for result in pen] == [False, True]

        async def read() -> list[int]:
            return [result.glyph async for result in pen]

        reader = asyncio.create_task(read())
        pen.stroke([(5, 0)])
        desk.sent()
        desk.answer(pen.number, [2], glyph=2)
    assert await reader == [2]


async def test_an_async_loop_ends_after_end_glyph_without_ink(desk: Desk) -> None:
    pen = desk.async_pen()
    pen.end_glyph()
    assert [result async for result in pen] == []


async def test_a_cancelled_async_loop_loses_no_result(desk: Desk) -> None:
    pen = desk.async_pen()
    pen.stroke([(0, 0)])
    desk.sent()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            async for _ in pen:
                raise AssertionError("nothing was answered")
    desk.answer(pen.number, [1])
    assert [result.digit async for result in pen] == [7]


def test_options_are_sent_with_the_first_stroke(desk: Desk) -> None:
    pen = desk.pen(
        y="up",
        units="mm",
        area=(0, 0, 100, 60),
        boxes=[(0, 0, 10, 10), (10, 0, 10, 10)],
        quiet_ms=900,
        short_quiet_ms=300,
        interims_per_second=10,
        alternatives=2,
        timings=True,
    )
    pen.down(1.25, 2)
    opening = desk.sent()[0].open
    assert opening.unit == ink_pb2.UNIT_MILLIMETRE
    assert opening.y_direction == ink_pb2.Y_DIRECTION_UP
    assert (opening.counts_per_unit, opening.area.width) == (100, 100)
    assert [(box.box, box.area.x) for box in opening.boxes] == [(1, 0), (2, 10)]
    assert (opening.quiet_ms, opening.short_quiet_ms) == (900, 300)
    assert opening.interims_per_second == 10
    assert (opening.answers.top_k, opening.answers.timings) == (2, True)


@pytest.mark.parametrize(
    ("options", "blamed"),
    [
        ({"y": "left"}, "y: expected"),
        ({"units": "inch"}, "units: expected"),
        ({"counts_per_unit": 0}, "counts_per_unit"),
        ({"area": (0, 0, 0, 5)}, "area: expected finite"),
        ({"area": (0, 0)}, "area: expected four"),
        ({"boxes": {0: (0, 0, 1, 1)}}, "boxes: expected a whole number from 1"),
        ({"boxes": {True: (0, 0, 1, 1)}}, "boxes: expected a whole number from 1"),
        ({"boxes": 5}, "boxes: expected a sequence of rectangles, .* got 5"),
        ({"boxes": iter([(0, 0, 1, 1)])}, "boxes: expected a sequence of rectangles"),
        ({"boxes": {3: (0, 0, 1, -1)}}, r"boxes\[3\]"),
        ({"quiet_ms": 0}, "quiet_ms"),
        ({"short_quiet_ms": 70_000}, "short_quiet_ms"),
        ({"interims_per_second": 61}, "interims_per_second"),
        ({"alternatives": 11}, "alternatives"),
        ({"y": ["up"]}, "y: expected"),
        ({"units": ["mm"]}, "units: expected"),
        ({"area": (0, 0, 10**400, 5)}, "area: expected four"),
        ({"counts_per_unit": "16"}, "counts_per_unit: expected a number from .* got '16'"),
        ({"quiet_ms": 250.5}, "quiet_ms: expected a whole number from 1 to 60000 .* got 250.5"),
        ({"quiet_ms": 300, "short_quiet_ms": 400}, r"short_quiet_ms: .* quiet_ms \(300\), got 400"),
        ({"short_quiet_ms": True}, "short_quiet_ms: expected a whole number"),
        ({"interims_per_second": 2.5}, "interims_per_second: .* 0 to 60, got 2.5"),
        ({"alternatives": "3"}, "alternatives: .* 0 to 10, got '3'"),
    ],
)
def test_an_invalid_option_is_refused_by_name(options: dict[str, Any], blamed: str) -> None:
    with pytest.raises(InvalidRequest, match=blamed):
        PenOptions(**options)


def test_numpy_numbers_are_accepted_as_options() -> None:
    options: dict[str, Any] = {"quiet_ms": np.int64(900), "alternatives": np.int32(2)}
    options["boxes"] = {np.int64(3): (0, 0, 1, 1)}
    opening = PenOptions(**options).opening(timings=False)
    assert (opening.quiet_ms, opening.boxes[0].box, opening.answers.top_k) == (900, 3, 2)


def test_a_result_has_all_fields_of_its_message() -> None:
    answer = ink_pb2.GlyphResult(
        pen=3,
        glyph=2,
        revision=4,
        state=PROVISIONAL,
        digit=7,
        confidence=0.5,
        stability=0.25,
        reject_reason=error_pb2.REJECT_REASON_UNSURE,
        strokes=[5, 6],
        box=9,
        queued_us=1000,
        inferred_us=500,
        model_version="digits/9",
    )
    answer.alternatives.add(digit=7, confidence=0.5)
    result = GlyphResult.from_wire(answer, glyphs_before=10, timed=True)
    assert (result.pen, result.glyph, result.revision, result.box) == (3, 12, 4, 9)
    assert (result.state, result.is_final) == (GlyphState.PROVISIONAL, False)
    assert (result.digit, result.confidence, result.stability) == (7, 0.5, 0.25)
    assert result.alternatives == ((7, 0.5),)
    assert result.rejected
    assert result.reason is not None
    assert result.reason.name == "UNSURE"
    assert (result.strokes, result.model) == ((5, 6), "digits/9")
    assert (result.queued, result.inferred) == (0.001, 0.0005)
    answer.reject_reason = 99  # type: ignore[assignment]
    answer.box = 0
    newer = GlyphResult.from_wire(answer)
    assert newer.rejected, "an unknown reason still rejects"
    assert (newer.reason, newer.box, newer.queued) == (None, None, None)
