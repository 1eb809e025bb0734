import io
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inkstream.ink import Ink, InvalidInk, read_from
from inkstream.ink._traces import points_of

INK = '<ink xmlns="http://www.w3.org/2003/InkML">\n{}\n</ink>'


def read_back(body: str) -> list[Ink]:
    return list(read_from(io.BytesIO(INK.format(body).encode()), "file"))


def refused(content: str) -> str:
    with pytest.raises(InvalidInk) as caught:
        list(read_from(io.BytesIO(content.encode()), "file"))
    return str(caught.value)


def test_differences_are_decoded_as_in_the_recommendations_own_example() -> None:
    text = "1125 18432,'23'43,\"7\"-8,3-5,7-3,6 2,6 8,3 6,5 7"
    assert points_of(text, 2, 100).tolist() == [
        [1125, 18432],
        [1148, 18475],
        [1178, 18510],
        [1211, 18540],
        [1251, 18567],
        [1297, 18596],
        [1349, 18633],
        [1404, 18676],
        [1464, 18726],
    ]


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("", []),
        (" \n ", []),
        ("1 2", [[1, 2]]),
        ("1 2, 3 4,", [[1, 2], [3, 4]]),
        ("-1-2,.5 1e3", [[-1, -2], [0.5, 1000]]),
        ("1 2,'1'1,!9 1", [[1, 2], [2, 3], [9, 4]]),
        ("1 2,* 3", [[1, 2], [1, 3]]),
        ("#ff T", [[255, 1]]),
    ],
)
def test_traces_in_every_notation_are_read(text: str, points: list[list[float]]) -> None:
    assert points_of(text, 2, 100).tolist() == points


@pytest.mark.parametrize(
    "text", ["1", "1 2 3", "1 x", "1 2,,3 4", "1 nan", "1 ?", "1_0 2", "1 2;3 4"]
)
def test_an_invalid_trace_is_refused(text: str) -> None:
    with pytest.raises(InvalidInk, match="point"):
        points_of(text, 2, 100)


@given(
    st.lists(st.tuples(st.integers(-9999, 9999), st.integers(-9999, 9999)), min_size=3, max_size=20)
)
@settings(deadline=None)
def test_first_and_second_differences_decode_to_the_same_values(
    points: list[tuple[int, int]],
) -> None:
    table = np.array(points)
    first = np.diff(table, axis=0)
    second = np.diff(first, axis=0)
    head = f"{table[0, 0]} {table[0, 1]},'{first[0, 0]}'{first[0, 1]},"
    by_first = head + ",".join(f"{x} {y}" for x, y in first[1:])
    prefixed = [f'"{x}"{y}' for x, y in second[:1]] + [f"{x} {y}" for x, y in second[1:]]
    assert points_of(by_first, 2, 100).tolist() == table.tolist()
    assert points_of(head + ",".join(prefixed), 2, 100).tolist() == table.tolist()


def test_each_group_of_traces_is_an_ink_and_the_traces_outside_are_one() -> None:
    inks = read_back(
        '<annotation type="writer">Ann</annotation><trace>0 0,1 1</trace>'
        '<traceGroup><annotation type="truth">4</annotation><trace>1 2</trace><trace>3 4</trace></traceGroup>'
        "<traceGroup><traceGroup><trace>5 6</trace></traceGroup></traceGroup><trace>7 8</trace>"
        '<trace type="penUp">9 9</trace>'
    )
    assert [(ink.label, ink.writer, len(ink.strokes)) for ink in inks] == [
        ("4", "Ann", 2),
        (None, "Ann", 1),
        (None, "Ann", 2),
    ]
    assert {ink.y for ink in inks} == {"down"}


def test_channels_define_order_unit_direction_and_range() -> None:
    (ink,) = read_back(
        '<context><inkSource><traceFormat><channel name="F" min="0" max="1023"/><channel name="OA"/>'
        '<channel name="Y" units="cm" orientation="-ve"/><channel name="X" units="cm"/>'
        '<channel name="T" units="s"/></traceFormat><sampleRate uniform="true" value="133"/>'
        "</inkSource></context><trace>1023 45 1 2 0.5</trace>"
    )
    (stroke,) = ink.strokes
    assert (ink.y, ink.units, ink.points_per_second) == ("up", "mm", 133)
    assert stroke.points.tolist() == [[20, 10]]
    assert stroke.t_ms == [500]
    assert stroke.pressure == [1]


def test_formats_are_found_by_their_names() -> None:
    (ink,) = read_back(
        '<definitions><traceFormat xml:id="flipped"><channel name="Y"/><channel name="X"/></traceFormat>'
        '<context xml:id="c" traceFormatRef="#flipped"/></definitions>'
        '<trace>1 2</trace><trace contextRef="#c">1 2</trace>'
    )
    assert [stroke.points.tolist() for stroke in ink.strokes] == [[[1, 2]], [[2, 1]]]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("<trace>1 2, 3</trace>", "file:2: stroke 0: point 1: expected 2 values, got 1"),
        ("\n<trace>\n1 x</trace>", "file:3: stroke 0: point 0: no value at ' x'"),
        (
            "<trace>1 2</trace><trace>1 2, 1 1e999</trace>",
            "file:2: stroke 1: y: expected finite numbers, got inf at point 1",
        ),
        ("<trace>1 2</ink>", "file:2: expected well-formed XML (mismatched tag"),
        ('<trace contextRef="#c">1 2</trace>', "file:2: contextRef: nothing before has the id 'c'"),
        ("<trace><trace>1 2</trace></trace>", "file:2: a trace inside"),
        ('<trace continuation="end">1 2</trace>', "file:2: a trace inside or continuing"),
        ("<traceView/>", "file:2: <traceView> is not supported"),
        (
            '<traceFormat><channel name="X"/></traceFormat>',
            "file:2: traceFormat: expected channels X and Y",
        ),
        ("<traceFormat><channel/></traceFormat>", "file:2: channel: expected a name"),
        ("<a>" * 65, "file:2: nested deeper than 64 elements"),
        (
            '<traceFormat><channel name="T" units="mm"/></traceFormat>',
            "file:2: channel T: expected a unit",
        ),
    ],
)
def test_bad_inkml_is_refused_with_its_line(body: str, message: str) -> None:
    assert refused(INK.format(body)).startswith(message)


def test_another_kind_of_xml_is_refused() -> None:
    assert refused("<svg/>") == "file:1: expected the element <ink>, got <svg>"


def test_entities_are_refused_before_they_can_grow() -> None:
    bomb = '<!DOCTYPE ink [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><ink><annotation>&b;</annotation></ink>'
    assert "expected no DTD and no entities" in refused(bomb)
    outside = '<!DOCTYPE ink SYSTEM "file:///etc/passwd"><ink/>'
    assert "expected no DTD and no entities" in refused(outside)


def test_ink_before_an_error_is_yielded() -> None:
    found = read_from(
        io.BytesIO(INK.format("<traceGroup><trace>1 2</trace></traceGroup><x>").encode())
    )
    assert len(next(found).strokes) == 1
    with pytest.raises(InvalidInk):
        next(found)


def test_without_defusedxml_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "defusedxml.common", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'inkstream\[inkml\]'"):
        read_back("")
