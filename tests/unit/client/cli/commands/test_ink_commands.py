"""The commands that draw, convert and follow ink, and the pens of the demo."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from inkstream import Client, ConnectionFailed, GlyphResult
from inkstream.cli.app import app
from inkstream.cli.commands import draw as _draw
from inkstream.cli.commands import pen as _pen
from inkstream.cli.commands.pen import Screen, follow
from inkstream.cli.display.ink_pictures import dots, grid, portrait, thumbnail
from inkstream.cli.display.live_view import live_view
from inkstream.cli.server_option import ServerOptions
from inkstream.cli.writing.live_pens import Page, write_pages
from inkstream.cli.writing.pen_simulator import write_digits
from inkstream.cli.writing.sample_digits import labelled_ink
from inkstream.ink import Ink, Stroke, Units, read, write
from inkstream.tablet import NoTablet, PenEvent, decode
from inkstream.v1 import error_pb2, ink_pb2
from PIL import Image
from rich.console import Console

from tests.unit.client.fake_server import FakeServer
from tests.unit.client.ink.inks import seven
from tests.unit.client.tablet.test_tablet import LAYOUT, at, recorded

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(a) for a in arguments], terminal_width=100)

    return invoke


@pytest.fixture
def sevens(tmp_path: Path) -> Path:
    file = tmp_path / "sevens.jsonl"
    write(file, [seven(index=number) for number in range(3)])
    return file


@pytest.mark.parametrize("name", ["a.inkml", "a.unipen.gz", "a.jsonl.gz"])
def test_convert_keeps_the_ink(run: Run, sevens: Path, tmp_path: Path, name: str) -> None:
    shown = run("convert", sevens, tmp_path / name)
    assert (shown.exit_code, shown.stdout) == (0, "")
    assert "3 inks" in shown.stderr
    (before, *_), (after, *_) = read(sevens), read(tmp_path / name)
    for one, other in zip(before.arrays(), after.with_y("down").arrays(), strict=True):
        np.testing.assert_allclose(one, other)
    assert (after.label, after.writer) == ("7", "12")


def test_convert_reports_ink_that_the_format_cannot_express(
    run: Run, sevens: Path, tmp_path: Path
) -> None:
    for target in (tmp_path / "a.png", tmp_path / "absent" / "a.jsonl"):
        shown = run("convert", sevens, target)
        assert shown.exit_code == 2
        assert str(target) in shown.stderr
        assert ".inkml" in shown.stderr


@pytest.mark.parametrize(
    ("module", "extra", "command"),
    [
        ("defusedxml.common", "inkml", ["convert", "{folder}/a.inkml", "{folder}/a.unipen"]),
        ("defusedxml.common", "inkml", ["draw", "{folder}/a.inkml"]),
        ("evdev", "tablet", ["pen"]),
    ],
)
def test_a_package_that_a_command_lacks_is_named_in_a_sentence(
    run: Run,
    sevens: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    extra: str,
    command: list[str],
) -> None:
    assert run("convert", sevens, tmp_path / "a.inkml").exit_code == 0
    monkeypatch.setitem(sys.modules, module, None)
    ended = run(*(word.format(folder=tmp_path) for word in command))
    assert ended.exit_code == 1
    assert ended.stderr.startswith("Error: ")
    assert f"pip install 'inkstream[{extra}]'" in ended.stderr


def test_draw_shows_ink_beside_what_the_model_sees(run: Run, sevens: Path) -> None:
    shown = run("draw", sevens, "--index", 2)
    assert shown.exit_code == 0
    assert "sevens.jsonl[2]  label 7, writer 12, 2 strokes, 7 points" in shown.stdout
    assert "as the model sees it" in shown.stdout
    pictures = shown.stdout.splitlines()[1:15]
    assert any(line[:28].strip(chr(0x2800)) for line in pictures)
    assert any(line[28:].strip() for line in pictures)
    assert "model" not in run("draw", sevens, "--ink-only").stdout


@pytest.mark.parametrize(("units", "side"), [("px", 1.8), ("mm", 0.18)])
def test_draw_says_that_the_model_is_not_asked_about_a_mere_tap(
    run: Run, tmp_path: Path, units: Units, side: float
) -> None:
    points = np.array([(0.0, 0.0), (0.6, 0.0), (0.0, 1.0), (0.6, 1.0)])
    inks = [Ink((Stroke.of(points * size),), units=units) for size in (side, 20 * side)]
    write(tmp_path / "a.jsonl", inks)
    small, large = (run("draw", tmp_path / "a.jsonl", "--index", n).stdout for n in (0, 1))
    assert "the model is not asked" in small
    assert "as the model sees it" not in small
    assert not any(line[28:].strip() for line in small.splitlines()[1:15])
    assert "as the model sees it" in large


@pytest.mark.filterwarnings("error")
def test_draw_shows_ink_however_far_its_points_are_apart(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    for far in (1e308, 1e-320, 5e-324):
        file.write_text(json.dumps({"y": "down", "strokes": [[[-far, 0], [far, far / 2]]]}))
        shown = run("draw", file)
        assert shown.exit_code == 0, shown.output
        assert any(line[:28].strip(chr(0x2800)) for line in shown.stdout.splitlines()[1:15])
        assert thumbnail(next(iter(read(file)))).any()
    assert run("draw", file, "--output", tmp_path / "a.png").exit_code == 0


def test_draw_writes_each_ink_beside_what_the_model_sees(
    run: Run, sevens: Path, tmp_path: Path
) -> None:
    assert run("draw", sevens, "--count", 2, "--output", tmp_path / "a.png").exit_code == 0
    picture = np.asarray(Image.open(tmp_path / "a.png").convert("L"))
    height, width = picture.shape
    first = picture[height // 2 - 280 : height // 2]
    ink, seen = first[:, :280], first[:, 280:560]
    assert ink.max() == seen.max() == 255
    assert ink.mean() > 200, "ink on paper"
    assert 5 < seen.mean() < 100, "ink high"
    assert width == 560
    absent = run("draw", sevens, "--output", tmp_path / "absent" / "a.png")
    assert (absent.exit_code, "absent" in absent.stderr) == (2, True)


def test_draw_numbers_and_labels_the_inks_of_a_picture(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells: list[list[str]] = []

    def grid_of(given: Sequence[Sequence[tuple[str, Image.Image]]]) -> Image.Image:
        cells.extend([caption for caption, _ in cell] for cell in given)
        return grid(given)

    monkeypatch.setattr(_draw, "grid", grid_of)
    tap = Ink((Stroke.of([(1, 1)]),))
    write(tmp_path / "a.jsonl", [seven(index=0), seven(index=1), tap])
    options = ("--index", 1, "--count", 2, "--output", tmp_path / "a.png")
    assert run("draw", tmp_path / "a.jsonl", *options).exit_code == 0
    assert cells == [
        ["[1] label 7", "as the model sees it"],
        ["[2] no label", "a dot at most: the model is not asked"],
    ]


@pytest.mark.parametrize(
    ("count", "abreast", "columns", "rows"),
    [(1, 1, 1, 1), (1, 2, 1, 1), (8, 2, 2, 4), (8, 1, 3, 3), (100, 2, 8, 13)],
)
def test_a_grid_is_about_as_wide_as_high_and_shows_every_picture_under_its_caption(
    count: int, abreast: int, columns: int, rows: int
) -> None:
    side = 40
    cells = [
        [(f"{number}", Image.new("RGB", (side, side), (number, side, 9)))] * abreast
        for number in range(count)
    ]
    sheet = np.asarray(grid(cells))
    high, wide = sheet.shape[0] // rows, (sheet.shape[1] + 20) // columns
    assert sheet.shape == (rows * (side + 28), columns * (abreast * side + 20) - 20, 3)
    captions = set()
    for number in range(count):
        top, left = number // columns * high, number % columns * wide
        cell = sheet[top : top + high, left : left + abreast * side]
        assert (cell[28:] == (number, side, 9)).all()
        captions.add(cell[:28].tobytes())
    assert len(captions) == count, "a caption that is not this picture's"


def test_a_caption_is_cut_off_at_its_picture() -> None:
    ink = Image.new("RGB", (40, 40))
    long, none = (np.asarray(grid([[("W" * n, ink), ("", ink)]])) for n in (99, 0))
    assert (long[:28, :40] != none[:28, :40]).any()
    np.testing.assert_array_equal(long[:, 40:], none[:, 40:])


def test_draw_reads_the_example(run: Run) -> None:
    shown = run("draw", Path(__file__).parents[5] / "examples" / "digits.jsonl")
    assert shown.exit_code == 0, shown.output
    assert "as the model sees it" in shown.stdout


def test_draw_without_the_servers_package_says_what_to_install(
    run: Run, sevens: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "inkstream_server.ink", None)
    shown = run("draw", sevens)
    assert shown.exit_code == 1
    assert "pip install inkstream-server" in shown.stderr
    assert run("draw", sevens, "--ink-only").exit_code == 0


def test_draw_reports_an_index_beyond_the_end(run: Run, sevens: Path) -> None:
    shown = run("draw", sevens, "--index", 3)
    assert shown.exit_code == 2
    assert "no ink 3" in shown.stderr


def test_draw_reports_a_file_without_ink(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "empty.jsonl"
    file.touch()
    shown = run("draw", file)
    assert shown.exit_code == 2
    assert "has no ink" in shown.stderr


def test_a_picture_name_with_another_format_is_refused(
    run: Run, sevens: Path, tmp_path: Path
) -> None:
    shown = run("draw", sevens, "--output", tmp_path / "a.jpg")
    assert shown.exit_code == 2
    assert "ends in .png" in shown.stderr
    assert not (tmp_path / "a.jpg").exists()


@pytest.mark.parametrize("utf", [True, False])
def test_dots_show_where_the_ink_is(utf: bool) -> None:
    bar = Ink((Stroke.of([(0, 0), (0, 9)]), Stroke.of([(9, 0)])))
    rows = dots(bar, 10, utf=utf).split("\n")
    assert [len(row) for row in rows] == [10] * 5
    blank = " " if not utf else chr(0x2800)
    assert all(row[0] != blank for row in rows)
    assert [row[-1] != blank for row in rows] == [True, False, False, False, False]
    assert set(dots(Ink(()), 10, utf=utf)) == {blank, "\n"}


@pytest.mark.parametrize(
    "ink", [Ink(()), Ink((Stroke.of([(3, 3)]),)), seven(), seven().with_y("up"), *write_digits(10)]
)
def test_any_ink_can_be_drawn(ink: Ink) -> None:
    small, large = thumbnail(ink), np.asarray(portrait(ink, 64).convert("L"))
    assert small.shape == (28, 28)
    assert large.shape == (64, 64)
    assert (small.max() > 128) == (large.min() < 200) == bool(ink.strokes)


def test_a_seven_is_upright_for_both_directions_of_y() -> None:
    np.testing.assert_array_equal(thumbnail(seven()), thumbnail(seven().with_y("up")))
    rows = np.flatnonzero(thumbnail(seven()).sum(axis=1))
    assert thumbnail(seven())[rows[0] + 1].sum() > thumbnail(seven())[rows[-1] - 1].sum()


def test_simulated_ink_is_written_at_the_speed_of_a_hand() -> None:
    inks = write_digits(20)
    assert [ink.label for ink in inks] == [str(n % 10) for n in range(20)]
    for ink in inks:
        assert 15 <= sum(map(len, ink.strokes)) <= 90
        assert max(np.ptp(np.concatenate(ink.arrays()), axis=0)) == pytest.approx(18, abs=0.3)


def test_sample_ink_is_simulated_if_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INKSTREAM_DATA", str(tmp_path))
    assert labelled_ink(7)[1] == "digits of a pen simulator"
    file = tmp_path / "pendigits" / "pendigits-orig.tra.gz"
    file.parent.mkdir()
    write(file, [seven()] * 3)
    inks, source = labelled_ink(2)
    assert (len(inks), inks[0].label, "pendigits" in source) == (2, "7", True)
    file.write_bytes(b"not ink")
    assert labelled_ink(2)[1] == "digits of a pen simulator"


class _Tablet:
    """A tablet that replays recorded events."""

    name, path, layout = "Intuos S", "/dev/input/event7", LAYOUT

    def __init__(self, events: list[PenEvent], end: BaseException | None = None) -> None:
        self._events = events
        self._end = end or KeyboardInterrupt()

    def __iter__(self) -> Iterator[PenEvent]:
        yield from self._events
        raise self._end

    def __enter__(self) -> _Tablet:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def two_strokes() -> list[PenEvent]:
    samples = recorded(
        at(1000, 1000, 900, pen=1),
        at(1200, 1000, 900),
        at(1200, 1000, 0),
        at(5000, 1000, 900),
        at(5000, 1500, 900),
        at(5000, 1500, 0),
    )
    return list(decode(samples, LAYOUT))


def test_a_tablet_is_followed_until_it_is_interrupted(
    run: Run, fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_pen, "Tablet", lambda _: _Tablet(two_strokes()))
    shown = run("pen", "--server", fake.address)
    assert shown.exit_code == 0, shown.output
    assert "Intuos S (/dev/input/event7), digits/1" in shown.stderr
    assert [line.split()[1] for line in shown.stdout.splitlines()] == [
        "provisional",
        "provisional",
        "final",
    ]
    assert "ms after pen-up" in shown.stdout
    lines = run("pen", "--server", fake.address, "--json").stdout.splitlines()
    last = json.loads(lines[-1])
    assert (last["state"], last["digit"], last["strokes"]) == ("final", 2, [1, 2])


@pytest.mark.parametrize(
    ("options", "expected_times"),
    [
        ([], (0, 0)),
        (["--quiet-ms", 900], (900, 0)),
        (["--quiet-ms", 900, "--short-quiet-ms", 400], (900, 400)),
    ],
)
def test_quiet_times_reach_the_server_which_chooses_missing_ones(
    run: Run,
    fake: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
    options: list[object],
    expected_times: tuple[int, int],
) -> None:
    monkeypatch.setattr(_pen, "Tablet", lambda _: _Tablet(two_strokes()))
    assert run("pen", "--server", fake.address, *options).exit_code == 0
    (opening,) = fake.openings
    assert (opening.quiet_ms, opening.short_quiet_ms) == expected_times


def test_a_digit_gets_its_final_answer_if_the_tablet_is_unplugged(
    run: Run, fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    unplugged = NoTablet("/dev/input/event7: cannot be read any more; plug it in")
    monkeypatch.setattr(_pen, "Tablet", lambda _: _Tablet(two_strokes(), unplugged))
    shown = run("pen", "--server", fake.address)
    assert shown.exit_code == 2
    assert [line.split()[1] for line in shown.stdout.splitlines()] == [
        "provisional",
        "provisional",
        "final",
    ]
    assert "Error: /dev/input/event7: cannot be read any more; plug it in" in shown.stderr


def test_the_other_end_of_the_pen_erases_what_it_touches(
    fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen, erased = Screen(as_json=True), list[int]()
    rubber = recorded(
        at(9000, 9000, 900, rubber=1),
        at(1100, 1010, 900),
        at(1100, 1010, 0),
    )
    events = [*two_strokes(), *decode(rubber, LAYOUT)]
    with Client(fake.address) as client, client.pen(units="mm", on_result=screen.show) as pen:
        monkeypatch.setattr(pen, "erase", erased.append)
        follow(events, pen, LAYOUT, screen)
        screen.final.add(2)
        follow(decode(recorded(at(5000, 1200, 900, rubber=1)), LAYOUT), pen, LAYOUT, screen)
    assert erased == [1]


def test_without_a_tablet_there_is_an_error_in_one_sentence(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(_: str | None) -> object:
        raise NoTablet("tablet: no device file of a tablet can be read")

    monkeypatch.setattr(_pen, "Tablet", absent)
    shown = run("pen")
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert "no device file" in shown.stderr
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "evdev", None)
    shown = run("pen", "--device", "/dev/input/event0")
    assert shown.exit_code == 1
    assert "inkstream[tablet]" in shown.stderr


@pytest.mark.parametrize("is_terminal", [True, False])
async def test_pages_are_shown_as_they_are_written(fake: FakeServer, is_terminal: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=is_terminal, width=60)
    pages = [Page(1), Page(2)]
    received: list[GlyphResult] = []
    with live_view(pages, console) as on_answer:

        def note(page: Page, result: GlyphResult, seconds: float | None) -> None:
            received.append(result)
            assert seconds is not None
            on_answer(page, result, seconds)

        await write_pages(ServerOptions(fake.address), write_digits(2), pages, note)
    assert [page.labels for page in pages] == [["0"], ["1"]]
    assert all(len(page.answers) == len(page.latencies) == 1 for page in pages)
    assert sorted(result.state for result in received) == ["final"] * 2 + ["provisional"] * 2
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "pen  1" in shown or "pen 1" in shown
    assert "final" in shown


@pytest.mark.parametrize("state", [ink_pb2.GLYPH_STATE_PROVISIONAL, ink_pb2.GLYPH_STATE_FINAL])
def test_a_rejected_digit_is_shown_as_such_with_its_reason(state: ink_pb2.GlyphState) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=60, color_system=None)
    answer = ink_pb2.GlyphResult(glyph=1, state=state, digit=4)
    trusted = GlyphResult.from_wire(answer)
    answer.reject_reason = error_pb2.REJECT_REASON_NOT_A_DIGIT
    page = Page(1, labels=["4", "4"], read={0: trusted, 1: GlyphResult.from_wire(answer)})
    with live_view([page], console):
        pass
    assert isinstance(console.file, io.StringIO)
    assert "read  4?" in console.file.getvalue()
    assert "not a digit" in console.file.getvalue()


async def test_pages_end_with_the_error_if_there_is_no_server() -> None:
    with pytest.raises(ConnectionFailed):
        await write_pages(
            ServerOptions("127.0.0.1:1"), write_digits(2), [Page(1), Page(2)], lambda *_: None
        )
