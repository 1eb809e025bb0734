from __future__ import annotations

from typing import Any

import pytest
from inkstream.v1 import ink_pb2, tensor_pb2
from inkstream_server.limits.memory_book import UNLIMITED, Account
from inkstream_server.pens import boxes
from inkstream_server.pens.boxes import Boxes
from inkstream_server.pens.faults import InkFault
from inkstream_server.pens.limits import PenLimits
from inkstream_server.pens.settings import PenSettings, QuietTimes, read_settings

Area, Box = ink_pb2.Area, ink_pb2.Box
ACCOUNT = Account(UNLIMITED)
SQUARE = Area(width=10, height=10)


def read(**fields: Any) -> PenSettings:
    return read_settings(ink_pb2.PenOpen(**fields), QuietTimes(), PenLimits(boxes=2), ACCOUNT)


def test_a_pen_without_settings_gets_the_defaults() -> None:
    settings = read()
    assert (settings.y_up, settings.tap, settings.boxes) == (False, 0, None)
    assert settings.quiet == QuietTimes(0.6, 0.25)
    assert settings.interim_seconds == 0


def test_every_length_is_converted_to_counts() -> None:
    settings = read(
        unit=ink_pb2.UNIT_MILLIMETRE,
        counts_per_unit=100,
        boxes=[Box(box=3, area=Area(x=1, y=2, width=10, height=20))],
    )
    assert settings.boxes == Boxes([boxes.Box(3, 100, 200, 1100, 2200)], ACCOUNT)
    assert settings.tap == 50


@pytest.mark.parametrize(
    ("fields", "tap"),
    [({"unit": ink_pb2.UNIT_PIXEL}, 2), ({"area": Area(width=500, height=100)}, 2), ({}, 0)],
)
def test_the_size_of_a_tap_follows_from_the_unit_or_the_area(fields: Any, tap: float) -> None:
    assert read(**fields).tap == tap


@pytest.mark.parametrize(
    ("fields", "quiet"),
    [
        ({"quiet_ms": 900, "short_quiet_ms": 300}, QuietTimes(0.9, 0.3)),
        ({"quiet_ms": 2000}, QuietTimes(2.0, 2.0)),
        ({"quiet_ms": 100}, QuietTimes(0.1, 0.1)),
        ({"short_quiet_ms": 600}, QuietTimes(0.6, 0.6)),
    ],
)
def test_a_pens_quiet_time_applies_to_every_digit_unless_it_also_sets_a_short_one(
    fields: Any, quiet: QuietTimes
) -> None:
    assert read(**fields).quiet == quiet


@pytest.mark.parametrize(
    ("fields", "usual"), [({"short_quiet_ms": 1000}, 600), ({"quiet_ms": 300}, 300)]
)
def test_a_short_quiet_time_longer_than_the_quiet_time_is_refused_and_both_are_named(
    fields: Any, usual: int
) -> None:
    with pytest.raises(
        InkFault, match=rf"at most the quiet time of {usual} ms, got 1000; set"
    ) as it:
        read(**{"short_quiet_ms": 1000, **fields})
    assert it.value.field == "open.short_quiet_ms"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"counts_per_unit": float("nan")}, "open.counts_per_unit"),
        ({"counts_per_unit": -1}, "open.counts_per_unit"),
        ({"counts_per_unit": 1e300}, "open.counts_per_unit"),
        ({"unit": 9}, "open.unit"),
        ({"y_direction": 9}, "open.y_direction"),
        ({"area": Area(x=float("inf"), width=1, height=1)}, "open.area"),
        ({"area": Area(width=1)}, "open.area"),
        ({"answers": tensor_pb2.AnswerOptions(top_k=11)}, "open.answers.top_k"),
        ({"interims_per_second": 61}, "open.interims_per_second"),
        ({"quiet_ms": 60_001}, "open.quiet_ms"),
        ({"short_quiet_ms": 60_001}, "open.short_quiet_ms"),
        ({"boxes": [Box(area=SQUARE)]}, "open.boxes.box"),
        ({"boxes": [Box(box=1, area=SQUARE)] * 2}, "open.boxes.box"),
        ({"boxes": [Box(box=1)]}, "open.boxes.area"),
        ({"boxes": [Box(box=1, area=Area(x=1e300, width=1, height=1))]}, "open.boxes.area"),
        ({"boxes": [Box(box=n, area=SQUARE) for n in (1, 2, 3)]}, "open.boxes"),
    ],
)
def test_an_impossible_setting_is_refused_and_its_field_named(fields: Any, field: str) -> None:
    with pytest.raises(InkFault) as fault:
        read(**fields)
    assert fault.value.field == field
    assert "expected" in str(fault.value)
