from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from inkstream.ink import Ink, read
from inkstream.v1 import error_pb2, ink_pb2
from inkstream.v1 import recognition_service_pb2 as pb
from inkstream_server.ink import tensor_of
from inkstream_server.model_store import store as model_store

from tests.conftest import Mnist
from tests.integration.conftest import RunningServer, StartServer
from tests.integration.contract import Stream, open_stream, stub
from tests.pairs import read_offline
from tests.unit.server.pens.events import (
    BAR,
    InkEvent,
    begun,
    closed,
    ended,
    erased,
    moved,
    opened,
    shifted,
    stroke,
)

FINAL, PROVISIONAL = ink_pb2.GLYPH_STATE_FINAL, ink_pb2.GLYPH_STATE_PROVISIONAL
GLYPHS = 200


@pytest.fixture(scope="session")
def pendigits() -> list[Ink]:
    """Real glyphs of UCI pendigits: every 37th, so that writers differ."""
    path = Path(os.environ.get("INKSTREAM_DATA", "")) / "pendigits" / "pendigits-orig.tra.gz"
    if not path.is_file():
        pytest.skip("pendigits is not here: set INKSTREAM_DATA to the folder that holds pendigits/")
    return [ink for index, ink in enumerate(read(path)) if index % 37 == 0][:GLYPHS]


async def send_ink(stream: Stream, events: Iterable[InkEvent]) -> None:
    await stream.call.write(pb.StreamRecognizeRequest(ink=ink_pb2.InkEvents(events=events)))


def glyphs(stream: Stream) -> list[ink_pb2.GlyphResult]:
    return [glyph for response in stream.answers.responses for glyph in response.glyphs]


def finals(stream: Stream) -> list[ink_pb2.GlyphResult]:
    return [glyph for glyph in glyphs(stream) if glyph.state == FINAL]


def errors(stream: Stream) -> list[error_pb2.ItemError]:
    return [error for response in stream.answers.responses for error in response.errors]


async def until_glyphs(stream: Stream, count: int) -> list[ink_pb2.GlyphResult]:
    while len(glyphs(stream)) < count:
        assert await stream.receive() is not None, f"ended after {len(glyphs(stream))} glyphs"
    return glyphs(stream)


def offline(inks: Sequence[Ink]) -> tuple[list[int], list[float]]:
    """The digit and its confidence that both networks give without a server."""
    answers = read_offline(model_store.find(model_store.BUNDLED, "digits"), inks)
    return answers.argmax(axis=1).tolist(), answers.max(axis=1).tolist()


def packets(ink: Ink, first: int, pen: int) -> list[list[InkEvent]]:
    """One glyph in packets of two points, as a pen at 100 points a second sends them."""
    found: list[list[InkEvent]] = []
    for number, points in enumerate(ink.arrays(), first):
        found.append([begun(number, pen)])
        before: Any = (0, 0)
        for start in range(0, len(points), 2):
            found.append([moved(points[start : start + 2], pen, before)])
            before = points[start : start + 2][-1]
        found[-1].append(InkEvent(pen=pen, stroke_end=ink_pb2.StrokeEnd()))
    found[-1].append(ended(pen))
    return found


async def test_real_glyphs_of_many_pens_get_the_digits_that_are_found_offline(
    server: RunningServer, pendigits: list[Ink]
) -> None:
    pens = 8
    up = ink_pb2.Y_DIRECTION_UP
    async with stub(server.address) as service:
        stream = await open_stream(service)
        await send_ink(stream, [opened(pen, y_direction=up) for pen in range(pens)])
        for start in range(0, len(pendigits), pens):
            writing = [
                packets(ink, 1 + 10 * start, pen)
                for pen, ink in enumerate(pendigits[start : start + pens])
            ]
            while any(writing):  # All pens at once: each message has a packet of every pen.
                await send_ink(stream, [it for pen in writing if pen for it in pen.pop(0)])
        await stream.finish()
        assert await stream.code() is grpc.StatusCode.OK
    assert not errors(stream)
    found = {(it.pen, it.glyph): it for it in finals(stream)}
    assert len(found) == len(finals(stream)) == len(pendigits)
    answers = [found[index % pens, index // pens + 1] for index in range(len(pendigits))]
    digits, confidences = offline(pendigits)
    assert [it.digit for it in answers] == digits
    np.testing.assert_allclose([it.confidence for it in answers], confidences, atol=1e-5)
    right = sum(str(it.digit) == ink.label for it, ink in zip(answers, pendigits, strict=True))
    assert right >= 0.8 * len(pendigits)


async def test_a_digit_gets_a_provisional_answer_at_pen_up_and_a_final_one_after_the_quiet_time(
    server: RunningServer,
) -> None:
    async with stub(server.address) as service:
        stream = await open_stream(service)
        await send_ink(stream, [opened(quiet_ms=50, short_quiet_ms=20), *stroke(7)])
        first, last = await until_glyphs(stream, 2)
        await stream.finish()
    assert (first.state, first.revision, [*first.strokes]) == (PROVISIONAL, 1, [7])
    assert (last.state, last.revision, [*last.strokes]) == (FINAL, 2, [7])
    assert (first.digit, first.confidence) == (last.digit, last.confidence)
    assert (last.stability, last.model_version) == (1, "digits/4")
    assert len(glyphs(stream)) == 2


async def test_quiet_times_and_limits_of_ink_are_settings_of_the_server(
    start_server: StartServer,
) -> None:
    quiet = ("--quiet-ms", "60000", "--short-quiet-ms", "60000")
    server = start_server(*quiet, "--max-pens", "3", "--max-points", "50")
    turn = np.linspace(0, 2 * np.pi, 20)
    loop = np.rint(100 * np.stack([np.sin(turn), 1.4 * np.cos(turn)], axis=1)).astype(int)
    own = opened(3, quiet_ms=1000, short_quiet_ms=1000)
    async with stub(server.address) as service:
        stream = await open_stream(service)
        await send_ink(stream, [opened(1), *stroke(1, pen=1), opened(2), *stroke(1, loop, pen=2)])
        await send_ink(
            stream, [own, *stroke(1, pen=3), opened(4), begun(2, 1), moved([*BAR] * 20, 1)]
        )
        # By now the default quiet times would have ended the other digits.
        while not finals(stream):
            assert await stream.receive() is not None
        assert [it.pen for it in finals(stream)] == [3]
        (looped,) = (it for it in glyphs(stream) if it.pen == 2)
        assert (looped.digit, looped.reject_reason) == (0, error_pb2.REJECT_REASON_UNSPECIFIED)
        await stream.finish()
    reported = {it.ink.pen: it.message for it in errors(stream)}
    assert reported.keys() == {1, 4}
    assert "50 points" in reported[1]
    assert "3 pens" in reported[4]


async def test_half_closing_gets_every_open_glyph_its_final_answer(server: RunningServer) -> None:
    async with stub(server.address) as service:
        stream = await open_stream(service)
        for pen in range(30):
            await send_ink(stream, [opened(pen), *stroke(1, pen=pen), begun(2, pen)])
        await stream.finish()
        assert await stream.code() is grpc.StatusCode.OK
    assert sorted(it.pen for it in finals(stream)) == [*range(30)]
    assert all([*it.strokes] == [1, 2] for it in finals(stream))


async def test_errors_of_one_pen_do_not_affect_another(server: RunningServer) -> None:
    async with stub(server.address) as service:
        stream = await open_stream(service)
        uneven = InkEvent(pen=2, points=ink_pb2.Points(dx=[1, 2], dy=[1]))
        await send_ink(
            stream,
            [
                *(opened(1), opened(2), opened(2), opened(3, counts_per_unit=float("nan"))),
                *stroke(1, pen=1)[:2],
                *(begun(5, 2), uneven, begun(9, 4), erased(8, 1)),
                *stroke(1, pen=1)[2:],
                *(closed(1), closed(2)),
            ],
        )
        await stream.finish()
        assert await stream.code() is grpc.StatusCode.OK
    found = [(it.ink.pen, it.ink.stroke, it.field, it.code) for it in errors(stream)]
    invalid = error_pb2.ERROR_CODE_INVALID_ARGUMENT
    assert found == [
        (2, 0, "open", invalid),
        (3, 0, "open.counts_per_unit", invalid),
        (2, 5, "points.dy", invalid),
        (4, 0, "pen", invalid),
        (1, 8, "stroke_remove.stroke", invalid),
    ]
    assert {it.pen: [*it.strokes] for it in finals(stream)} == {1: [1], 2: [5]}
    assert {it.pen: it.reject_reason for it in finals(stream)} == {
        1: error_pb2.REJECT_REASON_UNSPECIFIED,
        2: error_pb2.REJECT_REASON_NO_INK,
    }


async def test_one_ink_in_a_unary_call_gets_the_digit_that_is_found_offline(
    server: RunningServer, pendigits: list[Ink]
) -> None:
    inks = pendigits[:20]
    digits, _ = offline(inks)
    async with stub(server.address) as service:
        for ink, digit in zip(inks, digits, strict=True):
            pen = ink_pb2.PenOpen(y_direction=ink_pb2.Y_DIRECTION_UP)
            strokes = [moved(points).points for points in ink.arrays()]
            request = pb.RecognizeRequest(ink=ink_pb2.Ink(pen=pen, strokes=strokes))
            request.answers.top_k = 3
            answer = await service.Recognize(request)
            assert (answer.glyph.digit, answer.glyph.state) == (digit, FINAL)
            assert [*answer.glyph.strokes] == [*range(1, len(strokes) + 1)]
            assert answer.glyph.alternatives[0].digit == digit
            assert len(answer.glyph.alternatives) == 3


async def test_a_unary_call_without_ink_or_with_bad_ink_says_so(server: RunningServer) -> None:
    async with stub(server.address) as service:
        blank = await service.Recognize(pb.RecognizeRequest(ink=ink_pb2.Ink()))
        assert blank.glyph.reject_reason == error_pb2.REJECT_REASON_NO_INK
        uneven = ink_pb2.Ink(strokes=[moved(BAR).points, ink_pb2.Points(dx=[1])])
        answer = await service.Recognize(pb.RecognizeRequest(ink=uneven))
    (error,) = answer.errors
    assert (error.ink.stroke, error.field) == (2, "ink.strokes[1].dy")
    assert not answer.HasField("glyph")


@pytest.mark.parametrize(
    ("thresholds", "reason", "name"),
    [((1.0, 1.0), error_pb2.REJECT_REASON_NOT_A_DIGIT, "not_a_digit"),
     ((0.0, 1.0), error_pb2.REJECT_REASON_UNSURE, "unsure")],
    ids=["not a digit", "unsure"],
)  # fmt: skip
async def test_ink_and_tensors_are_rejected_by_the_thresholds_of_the_models_card(
    start_server: StartServer,
    tmp_path: Path,
    thresholds: tuple[float, float],
    reason: int,
    name: str,
) -> None:
    store = tmp_path / "models"
    shutil.copytree(model_store.BUNDLED / "digits" / "1", store / "digits" / "1")
    card_file = store / "digits" / "1" / "card.json"
    card = json.loads(card_file.read_text())
    card["reject"] = dict(zip(("not_a_digit_below", "unsure_below"), thresholds, strict=True))
    card_file.write_text(json.dumps(card))
    server = start_server("--model-store", str(store))
    frame = tensor_of([np.array(BAR)], y_up=False)
    assert frame is not None
    async with stub(server.address) as service:
        stream = await open_stream(service)
        await stream.send(sequences=[1], uint8=frame.tobytes())
        await send_ink(stream, [opened(), *stroke(1), ended()])
        await stream.finish()
        one = ink_pb2.Ink(strokes=[moved(BAR).points])
        unary = await service.Recognize(pb.RecognizeRequest(ink=one))
    (last,) = finals(stream)
    (tensors,) = (group for it in stream.answers.responses for group in it.tensors)
    assert last.reject_reason == unary.glyph.reject_reason == tensors.reject_reasons[0] == reason
    assert last.digit == unary.glyph.digit == tensors.digits[0], "the best digit is sent anyway"
    metrics = server.metrics()
    assert metrics.value("inkstream_glyphs_total", outcome=name) == 2
    assert metrics.value("inkstream_rejects_total", reason=name) == 3


async def test_tensors_that_look_wrong_are_answered_with_warnings_and_counted(
    start_server: StartServer, mnist: Mnist
) -> None:
    good = mnist[0][:3]
    frames = np.stack([*good, 255 - good[0], np.roll(good[1], 5, axis=1), np.zeros_like(good[0])])
    server = start_server()
    async with stub(server.address) as service:
        stream = await open_stream(service)
        await stream.send(sequences=range(3), uint8=good.tobytes())
        await stream.receive_until(3)
        await stream.send(sequences=range(3, 9), uint8=frames.tobytes())
        await stream.finish()
    clean, doubted = (response.tensors[0] for response in stream.answers.responses[1:])
    assert not [*clean.warnings, *clean.reject_reasons]
    inverted, off = 1 << error_pb2.WARNING_INVERTED, 1 << error_pb2.WARNING_OFF_CENTRE
    assert [*doubted.warnings] == [0, 0, 0, inverted, off, 0]
    reasons = [*doubted.reject_reasons]  # The reason of an image off centre depends on the model.
    assert (reasons[:3], reasons[5]) == ([0, 0, 0], error_pb2.REJECT_REASON_NO_INK)
    metrics = server.metrics()
    for warning, count in {"inverted": 1, "off_centre": 1, "too_thin": 0, "scale": 0}.items():
        assert metrics.value("inkstream_warnings_total", warning=warning) == count
    assert metrics.value("inkstream_rejects_total", reason="no_ink") == 1


async def test_metrics_count_the_events_of_pens(start_server: StartServer) -> None:
    server = start_server()
    async with stub(server.address) as service:
        stream = await open_stream(service)
        await send_ink(stream, [opened(1, interims_per_second=60), *stroke(1)])
        await send_ink(stream, stroke(2, shifted(BAR, 60)))
        await until_glyphs(stream, 3)
        metrics = server.metrics()
        assert metrics.value("inkstream_open_pens") == 1
        assert metrics.value("inkstream_open_glyphs") == 1
        await stream.finish()
    metrics = server.metrics()
    assert metrics.value("inkstream_items_total", kind="ink", outcome="ok") == 2
    assert metrics.value("inkstream_item_latency_seconds_count", kind="ink") == 2
    assert metrics.value("inkstream_pen_up_to_provisional_seconds_count") == 2
    assert metrics.value("inkstream_last_ink_to_final_seconds_count") == 2
    assert metrics.value("inkstream_glyphs_total", outcome="recognized") == 2
    assert metrics.value("inkstream_points_total") == 2 * len(BAR)
    assert metrics.value("inkstream_rasterize_seconds_count") >= 2
    assert metrics.value("inkstream_open_pens") == 0
    assert metrics.value("inkstream_open_glyphs") == 0


async def test_a_drain_answers_the_ink_that_was_read(start_server: StartServer) -> None:
    server = start_server()
    async with stub(server.address) as service:
        stream = await open_stream(service)
        await send_ink(stream, [opened(quiet_ms=60_000, short_quiet_ms=60_000), *stroke(1)])
        await until_glyphs(stream, 1)
        server.signal()
        await stream.receive_all()
        assert stream.answers.draining
        assert await stream.code() is grpc.StatusCode.OK
    assert [[*it.strokes] for it in finals(stream)] == [[1]]
    assert server.wait() == 0
