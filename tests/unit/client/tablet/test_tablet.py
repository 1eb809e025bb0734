"""Event sequences follow Documentation/input/event-codes.rst and the behaviour of Wacom drivers."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inkstream.tablet import (
    Axis,
    Decoder,
    Layout,
    NoTablet,
    PenEvent,
    Tablet,
    decode,
    strokes_of,
    tablets,
)

SYN, KEY, ABS, MSC = 0, 1, 3, 4
X, Y, TILT, PRESSURE = 0, 1, 26, 24
PEN, RUBBER, TOUCH, STYLUS = 0x140, 0x141, 0x14A, 0x14B
REPORT, DROPPED = 0, 3

#: An Intuos S: 100 counts a millimetre, 4096 levels.
LAYOUT = Layout(Axis(0, 15_200, 100), Axis(0, 9_500, 100), Axis(0, 4095))
Event = tuple[float, int, int, int]


def recorded(*samples: dict[tuple[int, int], int] | str) -> list[Event]:
    """Events of samples 5 ms apart: the changes of each, then a SYN_REPORT; "lost" is a loss."""
    events: list[Event] = []
    for number, sample in enumerate(samples):
        time = 10 + number * 0.005
        if isinstance(sample, str):
            events.append((time, SYN, DROPPED, 0))
            continue
        events += [(time, kind, code, value) for (kind, code), value in sample.items()]
        events.append((time, SYN, REPORT, 0))
    return events


def at(x: int, y: int, pressure: int, **keys: int) -> dict[tuple[int, int], int]:
    codes = {"pen": PEN, "rubber": RUBBER, "touch": TOUCH}
    held = {(KEY, codes[name]): value for name, value in keys.items()}
    return held | {(ABS, X): x, (ABS, Y): y, (ABS, PRESSURE): pressure}


def kinds(events: list[Event], layout: Layout = LAYOUT) -> str:
    """The kinds of events, as the letters d, m and u."""
    return "".join(event.kind[0] for event in decode(events, layout))


def test_a_stroke_begins_moves_and_ends() -> None:
    done = list(
        decode(
            recorded(
                at(1000, 500, 0, pen=1),
                at(1000, 500, 2048),
                {(ABS, X): 1100},
                {(ABS, Y): 700},
                {(ABS, PRESSURE): 0},
                {(KEY, PEN): 0},
            ),
            LAYOUT,
        )
    )
    assert [(event.kind, event.x, event.y) for event in done] == [
        ("down", 10, 5),
        ("move", 11, 5),
        ("move", 11, 7),
        ("up", 11, 7),
    ]
    assert [event.t_ms for event in done] == pytest.approx([10_005, 10_010, 10_015, 10_020])
    assert done[0].pressure == pytest.approx(2048 / 4095)
    assert not done[0].is_eraser


def test_coordinates_are_millimetres_if_the_tablet_reports_its_resolution_else_counts() -> None:
    assert (LAYOUT.units, LAYOUT.size) == ("mm", (152, 95))
    vague = replace(LAYOUT, x=Axis(100, 1100), y=Axis(0, 500))
    assert (vague.units, vague.size) == ("count", (1000, 500))
    (down,) = decode(recorded(at(150, 60, 4000, pen=1)), vague)
    assert (down.x, down.y) == (50, 60)


def test_the_tip_is_down_above_five_percent_and_stays_so_above_one() -> None:
    levels = [100, 205, 300, 100, 42, 40, 100, 200, 300]
    samples = [at(100 + n, 100, level, pen=1) for n, level in enumerate(levels)]
    assert kinds(recorded(*samples)) == "dmmmud"


def test_the_touch_button_without_pressure_begins_no_stroke() -> None:
    assert kinds(recorded(at(100, 100, 0, pen=1, touch=1), at(200, 100, 0))) == ""


def test_without_a_pressure_axis_the_touch_button_decides() -> None:
    layout = replace(LAYOUT, pressure=None)
    events = recorded(
        {(KEY, PEN): 1, (ABS, X): 100, (ABS, Y): 100},
        {(KEY, TOUCH): 1},
        {(ABS, X): 200},
        {(KEY, TOUCH): 0},
    )
    assert kinds(events, layout) == "dmu"
    assert [event.pressure for event in decode(events, layout)] == [None] * 3


def test_no_event_is_sent_before_a_sample_is_complete() -> None:
    decoder = Decoder(LAYOUT)
    *parts, report = recorded(at(100, 100, 4000, pen=1))
    assert [decoder.feed(*part) for part in parts] == [[]] * len(parts)
    assert [event.kind for event in decoder.feed(*report)] == ["down"]


def test_values_that_the_kernel_does_not_send_are_taken_from_the_layout() -> None:
    layout = replace(LAYOUT, x=replace(LAYOUT.x, value=300), keys=frozenset({PEN}))
    (down,) = decode(recorded({(ABS, Y): 200, (ABS, PRESSURE): 4000}), layout)
    assert (down.x, down.y) == (3, 2)


def test_a_pen_that_leaves_while_down_ends_its_stroke_where_it_was_last_seen() -> None:
    # Wacom drivers send zeros for all axes when the pen leaves.
    done = list(decode(recorded(at(100, 100, 4000, pen=1), at(0, 0, 0, pen=0)), LAYOUT))
    assert [(event.kind, event.x, event.y) for event in done] == [("down", 1, 1), ("up", 1, 1)]


def test_old_pressure_does_not_begin_a_stroke_when_the_pen_returns() -> None:
    events = recorded(at(100, 100, 4000, pen=1), {(KEY, PEN): 0}, {(KEY, PEN): 1, (ABS, X): 300})
    assert kinds(events) == "du"


def test_a_loss_ends_the_stroke_and_what_follows_it_is_discarded() -> None:
    events = recorded(
        at(100, 100, 4000, pen=1),
        "lost",
        at(9000, 9000, 4000),
        {(ABS, X): 200},
        at(300, 100, 4000),
    )
    done = list(decode(events, LAYOUT))
    assert [(event.kind, event.x) for event in done] == [("down", 1), ("up", 1), ("down", 3)]


def test_after_a_loss_the_state_of_the_device_is_read_again() -> None:
    decoder = Decoder(LAYOUT)
    for event in recorded(at(100, 100, 4000, pen=1), "lost", {(ABS, X): 7}):
        decoder.feed(*event)
    assert decoder.is_stale
    decoder.resync(500, 600, 3000, {PEN})
    assert not decoder.is_stale
    ((down,),) = [decoder.feed(11, SYN, REPORT, 0)]
    assert (down.kind, down.x, down.y) == ("down", 5, 6)


def test_the_eraser_has_its_own_events_and_draws_no_stroke() -> None:
    events = recorded(
        at(100, 100, 4000, rubber=1),
        {(ABS, X): 200},
        {(KEY, RUBBER): 0},
        at(300, 100, 4000, pen=1),
        {(ABS, PRESSURE): 0},
    )
    done = list(decode(events, LAYOUT))
    assert [(event.kind, event.is_eraser) for event in done] == [
        ("down", True),
        ("move", True),
        ("up", True),
        ("down", False),
        ("up", False),
    ]
    (stroke,) = strokes_of(done)
    assert stroke.points.tolist() == [[3, 1]]


def test_a_pen_turned_over_while_down_ends_one_stroke_and_begins_another() -> None:
    events = recorded(at(100, 100, 4000, pen=1), {(KEY, PEN): 0, (KEY, RUBBER): 1})
    assert [(e.kind, e.is_eraser) for e in decode(events, LAYOUT)] == [
        ("down", False),
        ("up", False),
        ("down", True),
    ]


def test_events_that_do_not_concern_the_tip_are_ignored() -> None:
    noise = {(MSC, 4): 7, (ABS, TILT): 12, (KEY, STYLUS): 1}
    assert kinds(recorded(at(100, 100, 4000, pen=1), noise, noise)) == "d"


def test_strokes_carry_time_and_pressure() -> None:
    done = decode(recorded(at(0, 0, 4095, pen=1), {(ABS, X): 100}, {(KEY, PEN): 0}), LAYOUT)
    (stroke,) = strokes_of(done)
    assert stroke.points.tolist() == [[0, 0], [1, 0]]
    assert stroke.t_ms is not None and stroke.t_ms.tolist() == pytest.approx([10_000, 10_005])
    assert stroke.pressure is not None and stroke.pressure.tolist() == [1, 1]


ANY_EVENT = st.tuples(
    st.floats(0, 100),
    st.sampled_from([SYN, KEY, ABS, MSC]),
    st.sampled_from([X, Y, PRESSURE, DROPPED, PEN, RUBBER, TOUCH]),
    st.integers(-(2**31), 2**31 - 1) | st.integers(0, 1),
)


@given(st.lists(ANY_EVENT, max_size=60), st.booleans(), st.booleans())
@settings(deadline=None)
def test_with_any_input_every_stroke_begins_moves_and_ends_with_one_tool(
    events: list[Event], has_pressure: bool, tells_proximity: bool
) -> None:
    layout = replace(
        LAYOUT,
        pressure=LAYOUT.pressure if has_pressure else None,
        tells_proximity=tells_proximity,
    )
    last: PenEvent | None = None
    for event in decode(events, layout):
        assert (event.kind == "down") == (last is None)
        assert last is None or event.is_eraser == last.is_eraser
        assert event.pressure is None or 0 <= event.pressure <= 1
        last = None if event.kind == "up" else event


class Told(NamedTuple):
    """Stands in for evdev.AbsInfo."""

    value: int
    min: int
    max: int
    fuzz: int
    flat: int
    resolution: int


@dataclass
class FakeDevice:
    """Stands in for evdev.InputDevice: a tablet, or a keyboard."""

    path: str
    name: str
    axes: dict[int, Told]
    keys: list[int]
    events: list[Event]
    is_open: bool = True
    is_unplugged_then: bool = False
    """Whether it is unplugged after its events."""

    def capabilities(self, absinfo: bool) -> dict[int, Any]:
        return {KEY: self.keys, ABS: list(self.axes.items())} if absinfo else {}

    def active_keys(self) -> list[int]:
        return [PEN] if PEN in self.keys else []

    def read_loop(self) -> Iterator[Any]:
        for time, kind, code, value in self.events:
            yield SimpleNamespace(
                type=kind, code=code, value=value, timestamp=lambda time=time: time
            )
        if self.is_unplugged_then:
            raise OSError(19, "No such device")

    def close(self) -> None:
        self.is_open = False


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> dict[str, FakeDevice]:
    """The devices of a machine with a keyboard; tests add more."""
    devices = {"/dev/input/event0": FakeDevice("/dev/input/event0", "Keyboard", {}, [30], [])}

    def open_device(path: str) -> FakeDevice:
        if path not in devices:
            raise FileNotFoundError(2, "No such file or directory")
        return devices[path]

    evdev = SimpleNamespace(InputDevice=open_device, list_devices=lambda writable: list(devices))
    monkeypatch.setitem(sys.modules, "evdev", evdev)
    return devices


def plug_in_tablet(plugged: dict[str, FakeDevice], events: list[Event]) -> FakeDevice:
    axes = {
        X: Told(500, 0, 15_200, 4, 0, 100),
        Y: Told(600, 0, 9_500, 4, 0, 100),
        PRESSURE: Told(3000, 0, 4095, 0, 0, 0),
    }
    path = "/dev/input/event7"
    plugged[path] = FakeDevice(path, "Intuos S", axes, [PEN, RUBBER, TOUCH], events)
    return plugged[path]


def test_a_tablet_is_found_among_devices_and_read_live(plugged: dict[str, FakeDevice]) -> None:
    device = plug_in_tablet(plugged, recorded({}, {(ABS, X): 700}, {(ABS, PRESSURE): 0}))
    assert tablets() == {"/dev/input/event7": "Intuos S"}
    with Tablet() as tablet:
        assert (tablet.name, tablet.path, tablet.layout.units) == ("Intuos S", device.path, "mm")
        assert [(event.kind, event.x) for event in tablet] == [("down", 5), ("move", 7), ("up", 7)]
    assert not device.is_open


def test_the_state_of_a_live_tablet_is_read_after_a_loss(plugged: dict[str, FakeDevice]) -> None:
    plug_in_tablet(plugged, recorded(at(100, 100, 4000), "lost", {(ABS, X): 9}, {}))
    with Tablet("/dev/input/event7") as tablet:
        assert [(event.kind, event.x, event.y) for event in tablet] == [
            ("down", 1, 1),
            ("up", 1, 1),
            ("down", 5, 6),
        ]


def test_unplugging_a_tablet_is_reported_after_its_last_events(
    plugged: dict[str, FakeDevice],
) -> None:
    device = plug_in_tablet(plugged, recorded(at(100, 100, 4000)))
    device.is_unplugged_then = True
    with Tablet() as tablet:
        events = iter(tablet)
        assert next(events).kind == "down"
        del plugged[device.path]
        with pytest.raises(
            NoTablet, match=r"event7: Intuos S .*No such device.*plug it in.*is one connected"
        ):
            next(events)


def test_without_a_tablet_the_error_lists_the_devices(
    plugged: dict[str, FakeDevice],
) -> None:
    with pytest.raises(NoTablet, match="is one connected, and are you in the group"):
        Tablet()
    plug_in_tablet(plugged, [])
    with pytest.raises(
        NoTablet, match=r"event9: No such file.*there is /dev/input/event7 \(Intuos S\)"
    ):
        Tablet("/dev/input/event9")
    with pytest.raises(
        NoTablet, match=r"event0: Keyboard is no tablet; there is /dev/input/event7"
    ):
        Tablet("/dev/input/event0")


def test_a_device_that_vanishes_during_the_listing_is_ignored(
    plugged: dict[str, FakeDevice], monkeypatch: pytest.MonkeyPatch
) -> None:
    plug_in_tablet(plugged, [])
    monkeypatch.setattr(
        sys.modules["evdev"], "list_devices", lambda writable: ["/dev/input/event3", *plugged]
    )
    assert list(tablets()) == ["/dev/input/event7"]


def test_without_evdev_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "evdev", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'inkstream\[tablet\]'"):
        tablets()
