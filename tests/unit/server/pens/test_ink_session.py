from __future__ import annotations

import asyncio
import weakref
from collections import Counter
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inkstream.v1 import error_pb2, ink_pb2
from inkstream_server.access.allowance import Quota
from inkstream_server.batching.results import Share
from inkstream_server.confidence.rejection import RejectRule
from inkstream_server.ink import model_frame
from inkstream_server.limits.turns import TURN_SECONDS, Turns
from inkstream_server.pens import ink_session, renderer
from inkstream_server.pens.limits import PenLimits
from inkstream_server.pens.reading import Reading, read
from inkstream_server.pens.strokes import Ink

from tests.unit.server.builders import GatedEngine, turns
from tests.unit.server.pens.desk import Desk, written
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
    shifted,
    stroke,
)


async def test_a_glyph_is_final_when_the_quiet_time_is_over_and_not_before() -> None:
    desk = await written([opened(quiet_ms=500, short_quiet_ms=500), *stroke(4)])
    desk.clock.advance(0.499)
    await desk.read()
    assert desk.story() == [("provisional", 1, (4,))]
    desk.clock.advance(0.002)
    await desk.read()
    assert desk.story()[1:] == [("final", 1, (4,))]
    assert desk.clock.pending == 0


async def test_a_pen_that_touches_within_the_quiet_time_keeps_its_glyph_open() -> None:
    desk = await written([opened(), *stroke(1)])
    desk.clock.advance(0.2)
    await desk.take(begun(2), moved(BAR))
    desk.clock.advance(30)
    await desk.read()
    assert desk.story() == [("provisional", 1, (1,))]
    await desk.take(lifted())
    desk.clock.advance(0.6)
    await desk.read()
    assert desk.story()[-1] == ("final", 1, (1, 2))


async def test_a_provisional_answer_that_is_likely_to_change_does_not_shorten_the_wait() -> None:
    # The engine answers 0 with 0.9: a digit that is rarely continued, but the answer is not stable.
    desk = await written([opened(), *stroke(1)])
    assert desk.glyphs[0].digit == 0
    desk.clock.advance(0.3)
    await desk.read()
    assert len(desk.glyphs) == 1


async def test_a_final_answer_repeats_the_last_provisional_one_without_inference() -> None:
    desk = await written([opened(), *stroke(1), ended()])
    assert [it.revision for it in desk.glyphs] == [1, 2]
    assert sum(map(len, desk.workshop.engine.batches)) == 1


@pytest.mark.parametrize("temperature", [1.0, 1.5])
async def test_an_answer_that_waits_holds_no_batch_and_no_ink(
    temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = list[weakref.ref[object]]()

    def drawn(strokes: Ink, **options: Any) -> object:
        let_go.extend(weakref.ref(points) for points in strokes)
        return model_frame(strokes, **options)

    def read_as(share: Share) -> Reading:
        share.batch.rule = RejectRule(ink_temperature=temperature)
        let_go.extend(map(weakref.ref, (share.batch, share.batch.probabilities)))
        return read(share)

    monkeypatch.setattr(renderer, "model_frame", drawn)
    monkeypatch.setattr(renderer, "read", read_as)
    desk = Desk()
    await desk.take(opened(), *stroke(1), *stroke(2))
    await desk.due[1].ready()
    await turns()
    assert len(let_go) == 1 + 2 + 2 * 2
    assert [it() for it in let_go] == [None] * 7
    await desk.read()
    assert [it.strokes for it in desk.glyphs] == [[1], [1, 2]]


async def test_interims_that_wait_are_replaced_and_the_rest_is_never_dropped() -> None:
    engine = GatedEngine()
    desk = Desk(engine=engine)
    await desk.take(opened(1, interims_per_second=60), begun(1))
    for step in range(5):
        await desk.take(moved([(0, 10 * step + 10)], start=(0, 10 * step)))
        desk.clock.advance(0.02)
        await turns()
    assert len(desk.due) == 5
    assert [it.is_complete() for it in desk.due] == [True] * 4 + [False]
    await desk.take(lifted(), ended())
    engine.release(3)
    await desk.read()
    assert [state for state, *_ in desk.story()] == ["provisional", "final"]
    assert desk.workshop.value("inkstream_interims_total", outcome="replaced") == 5
    assert desk.workshop.value("inkstream_interims_total", outcome="sent") == 0
    await desk.workshop.dispatcher.close()


async def test_an_interim_that_is_drawn_in_time_is_sent_with_its_stability() -> None:
    desk = await written([opened(interims_per_second=10), begun(1), moved(BAR)])
    (interim,) = desk.glyphs
    assert interim.state == ink_pb2.GLYPH_STATE_INTERIM
    assert 0 < interim.stability < 1
    assert desk.workshop.value("inkstream_interims_total", outcome="sent") == 1


async def test_a_glyph_that_is_cleared_gets_no_late_interim() -> None:
    engine = GatedEngine()
    desk = Desk(engine=engine)
    await desk.take(opened(interims_per_second=60), begun(1), moved(BAR))
    await desk.take(cleared())
    engine.release()
    await desk.read()
    assert desk.story() == []
    assert desk.glyphs_ended() == {"cleared": 1}
    await desk.workshop.dispatcher.close()


async def test_an_engine_failure_is_reported_at_pen_up_and_the_final_answer_is_retried() -> None:
    desk = Desk()
    desk.workshop.engine.failures = {0: "raise"}
    await desk.take(opened(), *stroke(1))
    await desk.read()
    (error,) = desk.errors
    assert (error.code, error.ink.glyph) == (error_pb2.ERROR_CODE_INTERNAL, 1)
    await desk.take(ended())
    await desk.read()
    assert desk.story() == [("final", 1, (1,))]
    assert desk.glyphs_ended() == {"recognized": 1}


async def test_a_glyph_whose_final_answer_fails_ends_with_an_error_that_names_it() -> None:
    desk = Desk()
    desk.workshop.engine.failures = {0: "raise", 1: "raise"}
    await desk.take(opened(), *stroke(1))
    await desk.read()
    await desk.take(ended())
    await desk.read()
    await desk.take(*stroke(2))
    await desk.read()
    assert [(it.ink.glyph, it.ink.stroke) for it in desk.errors] == [(1, 1), (1, 0)]
    assert desk.story() == [("provisional", 2, (2,))]
    assert desk.glyphs_ended() == {"failed": 1}


async def test_each_limit_has_its_own_error() -> None:
    limits = PenLimits(
        pens=2, points_per_stream=7, points_per_glyph=5, strokes_per_glyph=2, glyph_seconds=9
    )
    desk = Desk(limits)
    await desk.take(opened(1), opened(2), opened(3))
    await desk.take(begun(1, 1), moved([*BAR, *BAR], 1), lifted(1))
    await desk.take(*stroke(2, pen=1), *stroke(3, pen=1))
    await desk.take(begun(1, 2), moved(BAR, 2), moved(BAR[:2], 2))
    await desk.take(ended(1), begun(5, 1))
    desk.clock.advance(10)
    await desk.read()
    messages = [error.message for error in desk.errors]
    assert len(set(messages)) == len(messages) == 5, messages
    for number, field in ((2, "pens"), (5, "points"), (2, "strokes"), (7, "points"), (9, "s:")):
        assert any(f"{number} {field}" in message for message in messages), (number, field)


async def test_room_for_points_comes_back_when_glyphs_end() -> None:
    desk = Desk(PenLimits(points_per_stream=len(BAR)))
    await desk.take(opened(1), opened(2))
    for number in range(1, 20):
        await desk.take(*stroke(number, pen=1 + number % 2), ended(1 + number % 2))
    for number, last in ((30, erased(30)), (31, cleared()), (32, closed())):
        await desk.take(*stroke(number), last)
    await desk.take(*stroke(1, pen=2))
    await desk.read()
    # Stroke 1 was written by pen 2 before.
    assert [it.field for it in desk.errors] == ["stroke_begin.stroke"]


async def test_an_unopened_pen_is_reported_once_a_message() -> None:
    desk = await written([*stroke(1), *stroke(2)], stroke(3), [opened()], stroke(4))
    assert desk.faults(1) == [("pen", 0), ("pen", 0)]
    assert desk.story() == [("provisional", 1, (4,))]


async def test_pens_that_are_not_open_are_remembered_up_to_a_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ink_session, "MOST_UNKNOWN", 3)
    desk = await written([lifted(pen) for pen in (1, 2, 3, 3, 2, 1, 4, 1, 4)])
    assert [error.ink.pen for error in desk.errors] == [1, 2, 3, 4, 1]


async def test_an_event_without_a_kind_is_a_fault() -> None:
    desk = await written([opened(), InkEvent(pen=1), *stroke(1)])
    assert desk.faults(1) == [("event", 0)]
    assert len(desk.story()) == 1


async def test_a_long_message_gives_other_streams_their_turn_and_waits_for_room() -> None:
    desk = Desk(turns=Turns(count(step=TURN_SECONDS).__next__))  # One event a turn.
    asked = 0

    def is_full() -> bool:
        return len(desk.due) >= 100 * (asked + 1)

    async def room() -> None:
        nonlocal asked
        asked += 1

    received = []
    asyncio.get_running_loop().call_soon(lambda: received.append(len(desk.due)))
    events = [opened(), *(lifted() for _ in range(350))]
    await desk.session.take((ink_pb2.InkEvents(events=events),), is_full, room)
    assert asked == 3
    assert len(desk.due) == 350
    assert received == [0]


async def test_the_end_of_a_stream_ends_every_glyph_and_cancels_every_timer() -> None:
    desk = await written(
        *([opened(pen), *stroke(1, pen=pen), begun(2, pen)] for pen in (1, 2, 3)),
    )
    desk.end()
    await desk.read()
    assert all(desk.story(pen)[-1] == ("final", 1, (1, 2)) for pen in (1, 2, 3))
    assert desk.clock.pending == 0
    assert desk.workshop.value("inkstream_open_pens") == 0
    assert desk.workshop.value("inkstream_open_glyphs") == 0


async def test_a_pen_has_one_timer_however_many_glyphs_it_ends() -> None:
    desk = await written([opened()])
    for number in range(1, 500):
        await desk.take(begun(number), ended())
        desk.clock.advance(0.001)
        await desk.read()
    assert desk.clock.pending <= 1


@dataclass(frozen=True)
class Act:
    """A message of one pen's event, and how much later the next one comes."""

    pen: int
    kind: str
    value: int
    wait: float


PENS = (1, 2, 3)
KINDS = ("open", "begin", "begin", "move", "move", "lift", "erase", "end", "clear", "close")
ACTS = st.builds(
    Act,
    st.sampled_from(PENS),
    st.sampled_from(KINDS),
    st.integers(1, 9),
    st.sampled_from([0.0, 0.0, 0.1, 0.4, 0.7, 40.0]),
)


def event_of(act: Act) -> InkEvent:
    pen, value = act.pen, act.value
    return {
        "open": opened(pen),
        "begin": begun(value, pen),
        "move": moved(shifted(BAR, 9 * (value - 5)), pen),
        "lift": lifted(pen),
        "erase": erased(value, pen),
        "end": ended(pen),
        "clear": cleared(pen),
        "close": closed(pen),
    }[act.kind]


async def _play(acts: list[Act], pens: tuple[int, ...], limits: PenLimits) -> Desk:
    desk = Desk(limits)
    batch: list[InkEvent] = [opened(pen) for pen in pens]
    for act in acts:
        if act.pen in pens:
            batch.append(event_of(act))
        if act.wait:
            await desk.take(*batch)
            await desk.read()
            desk.clock.advance(act.wait)
            batch = []
        machines = [it.pen for it in desk.session._pens.values()]
        held = [pen._glyph for pen in machines]
        assert len(held) <= len(pens)
        points = sum(glyph.points for glyph in held if glyph is not None)
        points += sum(len(pen._stroke) for pen in machines if pen._stroke and not pen._is_placed)
        assert desk.session._points == points <= limits.points_per_stream
        opens = desk.workshop.value("inkstream_open_glyphs")
        assert opens == sum(glyph is not None for glyph in held)
    await desk.take(*batch)
    desk.end()
    await desk.read()
    machines, held = [], []
    assert desk.account.held == 0
    return desk


def play(acts: list[Act], pens: tuple[int, ...] = PENS) -> Desk:
    limits = PenLimits(strokes_per_glyph=3, points_per_glyph=12, glyph_seconds=30)
    return asyncio.run(_play(acts, pens, limits))


@given(st.lists(ACTS, max_size=50))
def test_with_any_events_of_many_pens_every_glyph_ends_once_and_shares_no_stroke(
    acts: list[Act],
) -> None:
    desk = play(acts)
    lives: dict[int, list[list[ink_pb2.GlyphResult]]] = {pen: [[]] for pen in PENS}
    for glyph in desk.glyphs:
        life = lives[glyph.pen]
        if glyph.glyph == 1 and glyph.revision == 1 and life[-1]:
            life.append([])  # The pen was closed and opened anew: it counts from 1 again.
        life[-1].append(glyph)
    finals = 0
    for answers in (answers for life in lives.values() for answers in life):
        revisions: Counter[int] = Counter()
        closed_glyphs: set[int] = set()
        owned: set[int] = set()
        for it in answers:
            assert it.glyph not in closed_glyphs, "an answer after the final one"
            revisions[it.glyph] += 1
            assert it.revision == revisions[it.glyph]
            if it.state == ink_pb2.GLYPH_STATE_FINAL:
                finals += 1
                closed_glyphs.add(it.glyph)
                assert owned.isdisjoint(it.strokes), "a stroke belongs to two digits"
                owned |= {*it.strokes}
    ends = desk.glyphs_ended()
    begun_glyphs = sum(
        len({it.glyph for it in answers}) for life in lives.values() for answers in life
    )
    assert 0 <= begun_glyphs - finals <= ends.pop("cleared", 0)
    assert sum(ends.values()) == finals
    assert desk.workshop.value("inkstream_open_glyphs") == 0
    assert desk.workshop.value("inkstream_open_pens") == 0
    assert desk.clock.pending == 0


@given(st.lists(ACTS, max_size=50), st.sampled_from(PENS))
def test_a_pen_is_answered_as_if_it_were_alone(acts: list[Act], pen: int) -> None:
    together, alone = play(acts), play(acts, (pen,))
    assert together.story(pen) == alone.story(pen)
    assert together.faults(pen) == alone.faults(pen)


STROKES = st.lists(
    st.tuples(st.integers(-60, 60), st.sampled_from([0.05, 0.3, 0.65])), min_size=1, max_size=12
)


@given(st.lists(st.tuples(st.sampled_from(PENS), STROKES), max_size=6))
def test_without_erasers_the_strokes_of_final_answers_are_all_ink_in_the_order_of_writing(
    writing: list[tuple[int, list[tuple[int, float]]]],
) -> None:
    numbers: dict[int, list[int]] = {pen: [] for pen in PENS}

    async def run() -> Desk:
        desk = Desk()
        await desk.take(*(opened(pen) for pen in PENS))
        for pen, strokes in writing:
            for at, wait in strokes:
                numbers[pen].append(len(numbers[pen]) + 1)
                await desk.take(*stroke(numbers[pen][-1], shifted(BAR, at), pen))
                await desk.read()
                desk.clock.advance(wait)
        desk.end()
        await desk.read()
        return desk

    desk = asyncio.run(run())
    assert not desk.errors
    for pen in PENS:
        finals = [strokes for state, _, strokes in desk.story(pen) if state == "final"]
        assert [number for strokes in finals for number in strokes] == numbers[pen]


@pytest.mark.parametrize("seconds", [0.0, 0.25])
async def test_latencies_are_counted_from_the_last_ink(seconds: float) -> None:
    desk = await written([opened(quiet_ms=60_000, short_quiet_ms=60_000), *stroke(1)])
    desk.clock.advance(seconds)
    await desk.take(ended())
    await desk.read()
    waited = desk.workshop.value("inkstream_last_ink_to_final_seconds_sum")
    assert seconds <= waited
    assert desk.workshop.value("inkstream_last_ink_to_final_seconds_count") == 1
    assert desk.workshop.value("inkstream_pen_up_to_provisional_seconds_count") == 1


LINE = [(0, step) for step in range(270)]
"""A stroke of many points."""


async def test_a_stroke_beyond_the_tokens_points_is_refused_once_and_later_ones_are_read() -> None:
    desk = Desk(quota=Quota(points_per_second=100))
    await desk.take(opened(), *stroke(1, LINE), begun(2), moved(LINE))
    await desk.take(*[moved([(1, 1)])] * 20, lifted(), begun(3), moved(BAR), lifted())
    desk.clock.advance(0.1)
    await desk.take(ended())
    await desk.read()
    assert desk.faults(1) == [("points", 2), ("stroke_begin", 3)]
    assert all(error.retry_after_ms > 0 for error in desk.errors)
    assert "100 points a second" in desk.errors[0].message
    assert desk.story()[-1] == ("final", 1, (1, 2))
    desk.clock.advance(10)
    await desk.take(*stroke(4), ended())
    await desk.read()
    assert desk.story()[-1] == ("final", 2, (4,))


async def test_events_beyond_the_tokens_limit_end_and_take_back_ink_but_begin_none() -> None:
    desk = Desk(quota=Quota(events_per_second=10))
    await desk.take(opened(), *[it for number in range(1, 18) for it in stroke(number)])
    await desk.read()
    desk.clock.advance(0.1)
    await desk.take(begun(18), erased(1), lifted(), ended())
    await desk.read()
    assert desk.faults(1)[-1] == ("stroke_begin", 18)
    assert "10 events a second" in desk.errors[-1].message
    assert desk.story()[-1] == ("final", 1, (*range(2, 18),))


async def test_a_stream_that_sends_far_more_than_its_token_allows_is_not_read_meanwhile() -> None:
    desk = Desk(quota=Quota(points_per_second=100))
    taking = asyncio.create_task(
        desk.take(opened(), begun(1), moved([(0, 1)] * 800), lifted(), *stroke(2))
    )
    await turns()
    desk.clock.advance(2.9)
    await turns()
    assert not taking.done()
    desk.clock.advance(0.2)
    await taking
    await desk.read()
    assert desk.faults(1) == [("points", 1)]
    assert desk.story()[-1] == ("provisional", 2, (2,))


async def test_a_stream_may_end_while_it_is_not_read() -> None:
    desk = Desk(quota=Quota(points_per_second=100))
    taking = asyncio.create_task(desk.take(opened(), begun(1), moved([(0, 1)] * 800), lifted()))
    await turns()
    taking.cancel()
    await asyncio.wait([taking])
    desk.end()
    assert desk.clock.pending == 0
