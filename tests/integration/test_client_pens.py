"""Pens of the client library against a real server."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from inkstream import (
    AsyncClient,
    Client,
    ClientClosed,
    GlyphResult,
    GlyphState,
    InkstreamError,
    InvalidInk,
    RejectReason,
    RetryPolicy,
)
from inkstream.ink import Ink, Stroke, read

from tests.integration.conftest import RunningServer, StartServer

SEVEN = [(10, 10), (20, 10), (30, 11), (24, 25), (18, 40)]
"""A seven without a bar, y down."""
LONG_MS = 60_000
"""A quiet time longer than any test."""


@pytest.fixture(scope="session")
def digits() -> list[Ink]:
    """Real digits by several writers, with y up and y down."""
    folder = Path(os.environ.get("INKSTREAM_DATA", ""))
    up, down = folder / "pendigits" / "pendigits-orig.tra.gz", folder / "uji" / "digits.jsonl.gz"
    if not (up.is_file() and down.is_file()):
        pytest.skip("real ink is not here: set INKSTREAM_DATA to the folder that holds pendigits/")
    return [ink for path in (up, down) for ink in itertools.islice(read(path), 0, 600, 30)]


def moved(right: float) -> list[tuple[float, float]]:
    return [(x + right, y) for x, y in SEVEN]


def test_a_pen_writes_and_reads_its_results(server: RunningServer) -> None:
    with Client(server.address) as client, client.pen(y="down", units="px", quiet_ms=40) as pen:
        pen.down(*SEVEN[0])
        for point in SEVEN[1:]:
            pen.move(*point)
        pen.up()
        first, last = list(pen)
        assert (first.state, first.strokes, first.glyph) == (GlyphState.PROVISIONAL, (1,), 1)
        assert (last.state, last.stability) == (GlyphState.FINAL, 1)
        assert first.digit == last.digit == 7
        assert last.alternatives[0] == (7, last.confidence)
        assert len(last.alternatives) == 3
        assert last.pen == pen.number
        pen.stroke(moved(100))
        pen.end_glyph()
        assert [result.glyph for result in pen if result.is_final] == [2]


def test_a_pen_and_a_unary_call_read_real_digits_the_same(
    server: RunningServer, digits: list[Ink]
) -> None:
    with Client(server.address) as client:
        for ink in digits:
            with client.pen(y=ink.y) as pen:
                for points in ink.arrays():
                    pen.stroke(points)
                pen.end_glyph()
                *_, final = pen
            whole = client.recognize_ink(ink)
            assert final.is_final
            assert final.strokes == whole.strokes == tuple(range(1, len(ink.strokes) + 1))
            assert final.digit == whole.digit
            assert final.confidence == pytest.approx(whole.confidence, abs=1e-5)


async def test_many_pens_share_one_stream_and_few_messages(start_server: StartServer) -> None:
    server = start_server()
    async with AsyncClient(server.address) as client:

        async def write(place: int) -> list[GlyphResult]:
            async with client.pen(units="px", quiet_ms=LONG_MS, short_quiet_ms=LONG_MS) as pen:
                for digit in range(5):
                    pen.stroke(moved(100 * digit + place))
                pen.end_glyph()
                return [result async for result in pen if result.is_final]

        finals = await asyncio.gather(*(write(place) for place in range(100)))
        metrics = await asyncio.to_thread(server.metrics)
    assert [[result.glyph for result in each] for each in finals] == [[1, 2, 3, 4, 5]] * 100
    assert {result.digit for each in finals for result in each} == {7}
    assert metrics.value("inkstream_streams") == 1
    assert metrics.total("grpc_server_msg_received_total", grpc_method="StreamRecognize") < 250


def test_threads_may_each_have_a_pen_of_one_client(server: RunningServer) -> None:
    with Client(server.address) as client:

        def write(place: int) -> list[int]:
            with client.pen(units="px", quiet_ms=LONG_MS, short_quiet_ms=LONG_MS) as pen:
                for digit in range(10):
                    pen.down(*moved(100 * digit + place)[0])
                    pen.points(moved(100 * digit + place)[1:])
                    pen.up()
                pen.end_glyph()
                return [result.digit for result in pen if result.is_final]

        with ThreadPoolExecutor(16) as threads:
            assert list(threads.map(write, range(32))) == [[7] * 10] * 32


def test_a_stroke_far_to_the_right_begins_another_digit(server: RunningServer) -> None:
    with Client(server.address) as client, client.pen(units="px", quiet_ms=LONG_MS) as pen:
        pen.stroke(SEVEN)
        pen.stroke(moved(100))
        pen.close()
        finals = [result for result in pen if result.is_final]
    assert [result.strokes for result in finals] == [(1,), (2,)]


def test_boxes_separate_digits_and_results_name_them(server: RunningServer) -> None:
    boxes = {4: (0, 0, 50, 50), 5: (50, 0, 50, 50)}
    with Client(server.address) as client, client.pen(boxes=boxes, quiet_ms=LONG_MS) as pen:
        pen.stroke(SEVEN)
        pen.stroke(moved(50))
        pen.end_glyph()
        assert [result.box for result in pen if result.is_final] == [4, 5]


def test_an_erased_stroke_changes_the_digit_until_it_is_final(server: RunningServer) -> None:
    with Client(server.address) as client, client.pen(quiet_ms=LONG_MS) as pen:
        pen.stroke(SEVEN)
        scratch = pen.stroke([(0, 0), (40, 45), (0, 45), (40, 0)])
        pen.erase(scratch)
        pen.end_glyph()
        *_, final = pen
        assert (final.strokes, final.digit) == ((1,), 7)
        pen.erase(1)
        pen.stroke(SEVEN)
        pen.end_glyph()
        with pytest.raises(InvalidInk, match="final"):
            list(pen)
        assert [result.glyph for result in pen if result.is_final] == [2]


def test_a_loop_gets_all_results_of_a_digit_whose_only_stroke_was_erased(
    server: RunningServer,
) -> None:
    with Client(server.address) as client, client.pen(quiet_ms=LONG_MS) as pen:
        for glyph, stroke in enumerate((1, 2), 1):
            assert pen.stroke(SEVEN) == stroke
            pen.erase(stroke)
            pen.end_glyph()
            reported = [(result.glyph, result.strokes, result.is_final) for result in pen]
            assert reported == [(glyph, (stroke,), False), (glyph, (), False), (glyph, (), True)]
        pen.end_glyph()
        assert list(pen) == []
        pen.down(*SEVEN[0])
        pen.points(SEVEN[1:])
        pen.erase(3)
        pen.end_glyph()
        reported = [(result.glyph, result.strokes, result.is_final) for result in pen]
        assert reported == [(3, (), False), (3, (), True)]


def test_interim_results_come_while_the_pen_is_down(server: RunningServer) -> None:
    with Client(server.address) as client:
        results: list[GlyphResult | InkstreamError] = []
        received = threading.Event()

        def keep(result: GlyphResult | InkstreamError) -> None:
            results.append(result)
            received.set()

        with client.pen(interims_per_second=60, quiet_ms=LONG_MS, on_result=keep) as pen:
            pen.down(*SEVEN[0])
            for point in SEVEN[1:]:
                pen.move(*point)
            while not received.wait(0.001):  # More points than a stroke may have.
                pen.move(18, 41 + np.random.default_rng().random())
        assert list(pen) == []
    assert isinstance(results[0], GlyphResult)
    assert results[0].state is GlyphState.INTERIM
    assert isinstance(results[-1], GlyphResult)
    assert results[-1].is_final


def test_a_mere_tap_is_no_digit(server: RunningServer) -> None:
    with Client(server.address) as client:
        with client.pen(units="mm") as pen:
            pen.stroke([(10, 10), (10.1, 10.1)])
        (final,) = [result for result in pen if result.is_final]
        tap = client.recognize_ink(Ink((Stroke.of([(1, 1)]),)))
    assert final.rejected
    assert final.reason is tap.reason is RejectReason.NO_INK


def test_timings_are_sent_on_request(server: RunningServer) -> None:
    with Client(server.address, timings=True) as client, client.pen() as pen:
        pen.stroke(SEVEN)
        pen.end_glyph()
        *_, final = pen
        assert final.inferred is not None
        assert final.inferred > 0


def test_an_error_of_one_pen_does_not_affect_another(server: RunningServer) -> None:
    with Client(server.address) as client:
        good = client.pen(quiet_ms=LONG_MS)
        good.down(*SEVEN[0])
        with client.pen() as bad:
            for _ in range(3):
                bad.stroke(np.zeros((9000, 2)))
        with pytest.raises(InvalidInk, match="4096") as refused:
            list(bad)
        assert refused.value.field == "points"
        good.points(SEVEN[1:])
        good.close()
        assert [result.digit for result in good] == [7, 7]


def test_a_closed_client_answers_what_was_written(server: RunningServer) -> None:
    client = Client(server.address)
    pen = client.pen(quiet_ms=LONG_MS)
    pen.stroke(SEVEN)
    client.close()
    assert [result.state for result in pen] == [GlyphState.PROVISIONAL, GlyphState.FINAL]
    with pytest.raises(ClientClosed):
        pen.stroke(SEVEN)
    with pytest.raises(ClientClosed):
        client.pen()


def test_ink_and_images_share_the_stream(server: RunningServer) -> None:
    image = np.zeros((28, 28), np.uint8)
    with Client(server.address) as client, client.pen() as pen:
        pen.stroke(SEVEN)
        digit = client.recognize(image).digit
        pen.end_glyph()
        assert [result.digit for result in pen if result.is_final] == [7]
        assert client.recognize(image).digit == digit


def test_a_drained_server_without_a_successor_gives_open_digits_their_final_answer(
    start_server: StartServer,
) -> None:
    server = start_server()
    alone = RetryPolicy(attempts=0)
    with Client(server.address, retry=alone) as client, client.pen(quiet_ms=LONG_MS) as pen:
        pen.stroke(SEVEN)
        results = iter(pen)
        assert next(results).state is GlyphState.PROVISIONAL
        server.signal()
        assert next(results).state is GlyphState.FINAL
        assert server.wait() == 0


@pytest.mark.parametrize("strokes", [(), ((),), (((5, 5),), ())])
def test_a_dot_in_a_unary_call_is_answered_as_no_ink(server: RunningServer, strokes: tuple) -> None:  # type: ignore[type-arg]
    ink = Ink(tuple(Stroke.of(np.array(points).reshape(-1, 2)) for points in strokes))
    with Client(server.address) as client:
        result = client.recognize_ink(ink)
    assert (result.reason, result.model) == (RejectReason.NO_INK, "")


async def test_the_unary_call_takes_its_options(server: RunningServer) -> None:
    ink = Ink((Stroke.of(SEVEN),), units="px")
    async with AsyncClient(server.address) as client:
        result = await client.recognize_ink(ink, alternatives=5, deadline=30)
        assert (result.digit, len(result.alternatives)) == (7, 5)
        with pytest.raises(InvalidInk):
            await client.recognize_ink(Ink((Stroke.of(np.zeros((9000, 2))),)))
        assert (await client.recognize_ink(ink)).digit == 7
