import io
import os
from collections import Counter
from pathlib import Path

import pytest
from inkstream.ink import Ink, InvalidInk, read, read_from

DATA = Path(os.environ.get("INKSTREAM_DATA") or "/nonexistent")
needs_data = pytest.mark.skipif(
    not (DATA / "pendigits").is_dir(), reason="INKSTREAM_DATA has no ink"
)


def read_back(text: str) -> list[Ink]:
    return list(read_from(io.BytesIO(text.encode()), "file"))


def refused(text: str) -> str:
    with pytest.raises(InvalidInk) as caught:
        read_back(text)
    return str(caught.value)


@needs_data
def test_pendigits_is_read_completely_with_its_thirty_writers() -> None:
    inks = list(read(DATA / "pendigits/pendigits-orig.tra.gz"))
    assert len(inks) == 7494
    assert len({ink.writer for ink in inks}) == 30
    assert {ink.y for ink in inks} == {"up"}
    assert Counter(ink.label for ink in inks)["8"] == 719
    assert (inks[0].label, inks[0].writer, inks[0].index) == ("8", "12", 224)
    assert inks[0].strokes[0].points[:2].tolist() == [[267, 333], [267, 336]]


@needs_data
@pytest.mark.parametrize(
    ("name", "count", "writers", "y"),
    [
        ("unipen/digits.jsonl.gz", 12_563, 211, "up"),
        ("unipen/digit_strings.jsonl.gz", 790, 189, "up"),
        ("unipen/nondigits.jsonl.gz", 3_865, 237, "up"),
        ("uji/digits.jsonl.gz", 600, 30, "down"),
    ],
)
def test_json_lines_sets_are_read_completely(name: str, count: int, writers: int, y: str) -> None:
    inks = list(read(DATA / name))
    assert len(inks) == count
    assert len({(ink.contributor, ink.writer) for ink in inks}) == writers
    assert {ink.y for ink in inks} == {y}


ROW = '{{"y":"up","strokes":[[[1,2],[3,4]]]{}}}'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "expected JSON"),
        ('{"y":"up"}', "strokes: missing"),
        ('{"strokes":[]}', "y: missing"),
        ('{"y":"north","strokes":[]}', 'y: expected "up" or "down", got \'north\''),
        ('{"y":"up","strokes":{}}', "strokes: expected a list, got an object"),
        (
            '{"y":"up","strokes":[[[1,2],[3]]]}',
            "strokes[0][1]: expected a point [x, y], got 1 values",
        ),
        ('{"y":"up","strokes":[[[1,2,3]]]}', "strokes[0][0]: expected a point [x, y], got 3"),
        ('{"y":"up","strokes":[[[[1,2]]]]}', "strokes[0][0]: expected a point [x, y], got 1"),
        ('{"y":"up","strokes":[[[1,2],3]]}', "strokes[0][1]: expected a list, got a number"),
        (
            '{"y":"up","strokes":[[],[[1,2],[3,"a"]]]}',
            "strokes[1][1][1]: expected a number, got a string",
        ),
        (
            '{"y":"up","strokes":[[[true,false]]]}',
            "strokes[0][0][0]: expected a number, got a boolean",
        ),
        (
            '{"y":"up","strokes":[[],[[3,1],[1,NaN]]]}',
            "strokes[1]: y: expected finite numbers, got nan at point 1",
        ),
        (
            '{"y":"up","strokes":[[],[[3,1],[1e999,1]]]}',
            "strokes[1]: x: expected finite numbers, got inf at point 1",
        ),
        ('{"y":"up","strokes":[],"odd":-Infinity}', "expected finite numbers, got -Infinity"),
        (f'{{"y":"up","strokes":[[[1,1{"0" * 400}]]]}}', "strokes[0][0][1]: the number is too"),
        ('{"y":"up","strokes":' + "[" * 100_000, "nested too deeply"),
        (ROW.format(',"t":[]'), "t: expected one entry per stroke (1), got 0"),
        (ROW.format(',"t":[[1]]'), "strokes[0]: t_ms: expected 2 values"),
        (ROW.format(',"t":[[1,null]]'), "t[0][1]: expected a number, got null"),
        (ROW.format(',"pressure":[1]'), "pressure[0]: expected a list, got a number"),
        (ROW.format(',"label":7'), "label: expected a string, got a number"),
        (ROW.format(',"index":1.5'), "index: expected a whole number"),
        (ROW.format(',"pps":"100"'), "pps: expected a number, got a string"),
        (ROW.format(f',"pps":1{"0" * 400}'), "pps: the number is too large"),
        (ROW.format(',"units":"furlong"'), "units: expected"),
    ],
)
def test_a_bad_row_is_refused_with_its_line_and_field(text: str, reason: str) -> None:
    message = refused(ROW.format("") + "\n" + text)
    assert message.startswith("file:2: ")
    assert reason in message


def test_an_integer_in_json_may_have_any_length() -> None:
    (ink,) = read_back('{"y":"up","strokes":[[[1,2],[100000000000000000000000000000,4]]]}')
    assert ink.strokes[0].points.tolist() == [[1, 2], [1e29, 4]]


UNIPEN = '.SEGMENT DIGIT 0 ? "7"\n.PEN_DOWN\n1 2\n3 4\n.PEN_UP\n'


def test_writer_site_and_sampling_of_unipen_are_read() -> None:
    (ink,) = read_back(
        '.DATA_SOURCE aga\n.WRITER_ID "amy w"\n.X_POINTS_PER_MM 10\n.Y_POINTS_PER_MM 20\n'
        '.POINTS_PER_SECOND 100\n.COORD X Y T P\n.SEGMENT DIGIT 0 ? "7"\n'
        ".PEN_DOWN\n 1 2  0 5\n 3 4 10 6\n.PEN_UP\n 9 9 20 0\n.DT 100\n"
    )
    assert (ink.contributor, ink.writer, ink.per_mm, ink.points_per_second) == (
        "aga",
        "amy w",
        (10, 20),
        100,
    )
    (stroke,) = ink.strokes
    assert stroke.points.tolist() == [[1, 2], [3, 4]]
    assert stroke.t_ms is not None and stroke.t_ms.tolist() == [0, 10]
    assert stroke.pressure is not None and stroke.pressure.tolist() == [5, 6]


def test_unipen_ink_without_a_segment_has_no_label() -> None:
    (ink,) = read_back(".VERSION 1\n.PEN_DOWN\n1 2\n.PEN_UP\n.PEN_DOWN\n3 4\n.PEN_UP\n")
    assert ink.label is None
    assert len(ink.strokes) == 2


@pytest.mark.parametrize(
    "between", [".COMMENT hello", ".DT 10", ".COMMENT\n\n.DT 2", "", ".unheard of"]
)
def test_a_unipen_stroke_continues_after_a_keyword(between: str) -> None:
    (ink,) = read_back(f".PEN_DOWN\n1 1\n2 2\n{between}\n3 3\n4 4\n.PEN_UP\n")
    assert [stroke.points.tolist() for stroke in ink.strokes] == [[[1, 1], [2, 2], [3, 3], [4, 4]]]


def test_a_number_that_begins_with_a_dot_is_no_keyword() -> None:
    (ink,) = read_back(".PEN_DOWN .5 1\n.25 .75\n3 4\n.PEN_DOWN\n5 6\n.PEN_UP\n7 8\n")
    assert [stroke.points.tolist() for stroke in ink.strokes] == [
        [[0.5, 1], [0.25, 0.75], [3, 4]],
        [[5, 6]],
    ]


def test_a_comment_that_names_another_digit_is_no_writer() -> None:
    (ink,) = read_back(UNIPEN.replace(".PEN_DOWN", ".COMMENT 8 12 3\n.PEN_DOWN"))
    assert ink.writer is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (UNIPEN.replace("3 4", "3 four"), "file:4: expected 2 numbers, got '3 four'"),
        (UNIPEN.replace("3 4", "3 4 5"), "file:4: expected 2 numbers"),
        (UNIPEN.replace("3 4", "\n3 nan"), "file:5: expected 2 numbers, got '3 nan'"),
        (
            UNIPEN.replace("3 4", ".DT 5\n3 4\nhello\n5 6"),
            "file:6: expected 2 numbers, got 'hello'",
        ),
        (UNIPEN.replace("3 4", ".COORD Y X\n3 4"), "file:4: expected .PEN_UP before .COORD"),
        (UNIPEN.replace("3 4", UNIPEN), "file:4: expected .PEN_UP before .SEGMENT"),
        (UNIPEN.replace(".PEN_UP\n", ""), "file:2: the file ends before .PEN_UP"),
        (UNIPEN.replace(" 0 ?", " 0-2 ?"), "file:1: expected the 3 strokes of this .SEGMENT"),
        (UNIPEN.replace(" 0 ?", " 0:3-1:4 ?"), "file:1: expected components"),
        (
            ".SEGMENT DIGIT 0\n" + UNIPEN,
            "file:1: expected the 1 strokes of this .SEGMENT after it, got 0",
        ),
        (".SEGMENT\n", "file:1: expected .SEGMENT HIERARCHY"),
        (".COORD X\n" + UNIPEN, "file:1: .COORD: expected X, Y"),
        (".X_POINTS_PER_MM -3\n" + UNIPEN, "file:1: expected a number above 0"),
        (".nothing\n.here", "file: expected a keyword of UNIPEN, found none"),
    ],
)
def test_bad_unipen_is_refused_with_its_line(text: str, message: str) -> None:
    assert refused(text).startswith(message)
