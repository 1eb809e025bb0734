from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inkstream.cli.board.batches import (
    MOST_EVENTS,
    MOST_POINTS,
    Batch,
    Clear,
    Down,
    Erase,
    Malformed,
    Move,
    Up,
    read_batch,
)

POINT = [10, 12.5, 100.25, 0.5]


def read(*events: Any, number: Any = 1) -> Batch:
    return read_batch(json.dumps({"batch": number, "events": [*events]}).encode())


def refused(*events: Any, number: Any = 1) -> Malformed:
    with pytest.raises(Malformed) as refusal:
        read(*events, number=number)
    return refusal.value


def test_all_kinds_of_events_are_read() -> None:
    batch = read(
        {"do": "down", "stroke": 7, "points": [POINT]},
        {"do": "move", "points": [POINT, POINT]},
        {"do": "up"},
        {"do": "erase", "stroke": 7},
        {"do": "clear"},
        number=3,
    )
    point = (10.0, 12.5, 100.25, 0.5)
    assert batch == Batch(3, (Down(7, (point,)), Move((point, point)), Up(), Erase(7), Clear()))


@pytest.mark.parametrize(
    "point",
    [
        None,
        7,
        [],
        [1, 2, 3],
        [1, 2, 3, 0.5, 5],
        [1, 2, 3, "0.5"],
        [True, 2, 3, 0.5],
        [1, 2, 3, None],
        [1e6, 2, 3, 0.5],
        [1, -1e6, 3, 0.5],
        [10**400, 2, 3, 0.5],
        [1, 2, -1, 0.5],
        [1, 2, 1e13, 0.5],
        [1, 2, 3, 1.01],
        [1, 2, 3, -0.01],
    ],
)
def test_an_invalid_point_is_named(point: Any) -> None:
    refusal = refused({"do": "up"}, {"do": "move", "points": [POINT, point]})
    assert refusal.field == "events[1].points[1]"
    assert "[x, y, t, pressure]" in refusal.fix


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (7, "events[0]"),
        ({}, "events[0].do"),
        ({"do": "dance"}, "events[0].do"),
        ({"do": ["up"]}, "events[0].do"),
        ({"do": "down", "stroke": 1}, "events[0].points"),
        ({"do": "down", "stroke": 0, "points": [POINT]}, "events[0].stroke"),
        ({"do": "down", "stroke": True, "points": [POINT]}, "events[0].stroke"),
        ({"do": "down", "stroke": 2**60, "points": [POINT]}, "events[0].stroke"),
        ({"do": "erase", "stroke": 1.5}, "events[0].stroke"),
        ({"do": "move", "points": []}, "events[0].points"),
        ({"do": "move", "points": {"x": 1}}, "events[0].points"),
    ],
)
def test_an_invalid_event_is_named(event: Any, field: str) -> None:
    assert refused(event).field == field


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[1]",
        b'{"batch": NaN, "events": [{"do": "up"}]}',
        b'{"batch": 1, "events": [{"do": "move", "points": [[Infinity, 1, 1, 0]]}]}',
        b"[" * 100_000,
        b'{"batch": ' + b"9" * 10_000 + b"}",
    ],
)
def test_a_body_that_is_no_object_is_rejected(body: bytes) -> None:
    with pytest.raises(Malformed) as refusal:
        read_batch(body)
    assert refusal.value.field == "body"
    assert len(refusal.value.value) < 100


@pytest.mark.parametrize("number", [0, -1, 1.5, "1", None, True, 2**53])
def test_a_batch_needs_a_number(number: Any) -> None:
    assert refused({"do": "up"}, number=number).field == "batch"


def test_a_batch_is_bounded() -> None:
    assert refused().field == "events"
    assert refused(*[{"do": "up"}] * (MOST_EVENTS + 1)).field == "events"
    many = {"do": "move", "points": [POINT] * (MOST_POINTS // 2)}
    assert len(read(many, many).events) == 2
    assert str(MOST_POINTS) in refused(many, many, {"do": "move", "points": [POINT]}).fix


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside),
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "do": st.sampled_from(["down", "move", "up", "erase", "clear"]) | JSON,
            "stroke": JSON,
            "points": st.lists(st.lists(JSON, max_size=5)) | JSON,
        },
    )
)
def test_any_body_is_read_or_rejected(event: Any) -> None:
    try:
        read(event)
    except Malformed as refusal:
        assert set(refusal.as_json()) == {"field", "value", "fix"}
