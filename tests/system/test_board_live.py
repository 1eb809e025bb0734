"""The board in real Chromium: mouse and finger write on it. Also takes the README's picture."""

from __future__ import annotations

import signal
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from playwright.sync_api import Browser, CDPSession, Page, expect, sync_playwright

from tests.integration.boards import RunningBoard, placed, real_digits, running_board
from tests.integration.conftest import RunningServer, running_server
from tests.system.programs import program
from tests.system.test_status_live import PICTURES

WIDE, PHONE = {"width": 1000, "height": 640}, {"width": 390, "height": 844}
Strokes = Sequence[npt.NDArray[np.float64]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # In a container, root may not make Chromium's sandbox; the tests open only our own page.
        yield playwright.chromium.launch(
            executable_path=program("chromium"), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def board(browser: Browser, server: RunningServer) -> Iterator[RunningBoard]:
    with running_board(server.address) as running:
        yield running


def opened(
    browser: Browser, board: RunningBoard, size: dict[str, int], scheme: str = "light"
) -> tuple[Page, list[str]]:
    """Open the board and wait until it can be written on; gives it and complaints."""
    # Size and colour scheme, as playwright's types name them.
    options: Any = {"viewport": size, "color_scheme": scheme, "has_touch": size is PHONE}
    page = browser.new_page(**options, device_scale_factor=2)
    complaints: list[str] = []
    page.on(
        "console",
        lambda it: complaints.append(it.text) if it.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(board.address)
    page.wait_for_selector("#state.ready")
    return page, complaints


def corner(page: Page) -> tuple[float, float]:
    """The top left corner of the sheet."""
    box = page.locator("#sheet").bounding_box()
    assert box is not None
    return box["x"], box["y"]


def write(page: Page, strokes: Strokes) -> None:
    """Write with the mouse; points are the sheet's."""
    origin = corner(page)
    for stroke in strokes:
        (x, y), *others = (stroke + origin).tolist()
        page.mouse.move(x, y)
        page.mouse.down()
        for x, y in others:
            page.mouse.move(x, y)
        page.mouse.up()


def write_with_a_finger(page: Page, touch: CDPSession, strokes: Strokes) -> None:
    """The same on a touch screen."""

    def say(kind: str, points: list[list[float]]) -> None:
        where = [{"x": x, "y": y} for x, y in points]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": where})

    origin = corner(page)
    for stroke in strokes:
        first, *others = (stroke + origin).tolist()
        say("touchStart", [first])
        for point in others:
            say("touchMove", [point])
        say("touchEnd", [])


def read(page: Page) -> str:
    shown: str = page.locator("#read").inner_text()
    return shown


def test_a_digit_is_answered_while_it_is_written_and_turns_final(
    browser: Browser, board: RunningBoard
) -> None:
    page, complaints = opened(browser, board, WIDE)
    for place, ink in enumerate(real_digits("3172")):
        write(page, placed(ink, 60 + 150 * place, 120, 90))
    expect(page.locator(".tag.final:not(.doubt)")).to_have_count(4)
    assert read(page) == "3172"
    expect(page.locator(".tag").first).to_contain_text("%")
    expect(page.locator(".tag").first).to_contain_text("ms")
    expect(page.locator("#pace")).to_contain_text("pen-up to answer")
    assert not complaints
    page.close()


def test_strokes_are_undone_one_by_one_and_all_at_once(
    browser: Browser, board: RunningBoard
) -> None:
    page, complaints = opened(browser, board, WIDE)
    one, seven = real_digits("17")
    write(page, placed(one, 60, 120, 90))
    write(page, placed(seven, 210, 120, 90))
    expect(page.locator(".tag.final")).to_have_count(2)
    page.keyboard.press("Control+z")
    expect(page.locator("#read")).to_have_text("1")
    page.keyboard.press("Escape")
    expect(page.locator("#read")).to_be_empty()
    expect(page.locator(".tag")).to_have_count(0)
    expect(page.locator("#hint")).to_be_visible()
    # A digit undone while it is open is not read, and the next one is.
    write(page, [np.array([(60.0, 60), (300, 200), (60, 200), (300, 60)])])
    page.get_by_text("Undo").click()
    write(page, placed(seven, 60, 120, 90))
    expect(page.locator(".tag.final:not(.doubt)")).to_have_count(1)
    assert read(page) == "7"
    assert not complaints
    page.close()


def test_a_rejected_digit_shows_the_reason_and_no_digit(
    browser: Browser, board: RunningBoard
) -> None:
    page, _ = opened(browser, board, WIDE)
    turns = np.linspace(0, 10 * np.pi, 120)
    coil = np.stack([80 + 14 * turns / 2, 160 + 40 * np.sin(turns)], axis=1)
    write(page, [coil])
    expect(page.locator(".tag.final.doubt .note")).to_contain_text("not a digit")
    expect(page.locator(".tag b")).to_have_count(0)
    assert read(page) == "?"
    page.close()


def test_the_board_fits_a_phone_and_a_finger_writes(browser: Browser, board: RunningBoard) -> None:
    page, complaints = opened(browser, board, PHONE, "dark")
    touch = page.context.new_cdp_session(page)
    for place, ink in enumerate(real_digits("5026")):
        left, top = 40 + 170 * (place % 2), 60 + 220 * (place // 2)
        write_with_a_finger(page, touch, placed(ink, left, top, 100))
        expect(page.locator(".tag.final:not(.doubt)")).to_have_count(place + 1)
    assert read(page) == "5026"
    # A tap on an answer shows the alternatives, and writes no ink.
    page.locator(".tag").first.tap()
    expect(page.locator(".tag.open .others em").first).to_contain_text("%")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
        "it scrolls sideways"
    )
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight"), "it scrolls"
    assert read(page) == "5026"
    assert not complaints
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / "board-phone.png")
    page.close()


def test_pages_write_side_by_side_and_only_their_own_ink_is_read(
    browser: Browser, board: RunningBoard
) -> None:
    (one, _), (other, _) = opened(browser, board, WIDE), opened(browser, board, WIDE)
    four, nine = real_digits("49")
    write(one, placed(four, 60, 120, 90))
    write(other, placed(nine, 60, 120, 90))
    expect(one.locator("#read")).to_have_text("4")
    expect(other.locator("#read")).to_have_text("9")
    one.close()
    other.close()


def test_a_restart_of_the_server_is_reported_and_no_ink_is_lost(
    browser: Browser, tmp_path: Path
) -> None:
    (digit,) = real_digits("8")
    (tmp_path / "next").mkdir()
    with ExitStack() as running:
        server = running.enter_context(running_server(tmp_path))
        board = running.enter_context(running_board(server.address))
        page, _ = opened(browser, board, WIDE)
        write(page, placed(digit, 60, 120, 90))
        expect(page.locator(".tag.final")).to_have_count(1)
        server.signal(signal.SIGTERM)
        server.wait()
        expect(page.locator("#state")).to_contain_text("server gone")
        write(page, placed(digit, 260, 120, 90))
        port = server.address.rpartition(":")[2]
        running.enter_context(running_server(tmp_path / "next", "--port", port))
        expect(page.locator("#state")).to_have_text("ready", timeout=20_000)
        expect(page.locator(".tag.final")).to_have_count(2, timeout=20_000)
        assert read(page) == "88"
        page.close()


def test_a_board_that_ended_is_reported_and_takes_no_strokes(
    browser: Browser, server: RunningServer
) -> None:
    with running_board(server.address) as board:
        page, _ = opened(browser, board, WIDE)
        assert board.interrupt()[0] == 130
        expect(page.locator("#state")).to_contain_text("board gone")
        write(page, [np.array([(60.0, 60), (200, 200)])])
        expect(page.locator("#hint")).to_be_visible()
        # Another board at its port is not accepted in its place.
        port = board.address.split("/")[2].rpartition(":")[2]
        with running_board(server.address, "--port", port):
            expect(page.locator("#detail")).to_contain_text("This board has ended")
        page.close()


def test_a_page_beyond_the_limit_shows_an_error(browser: Browser, server: RunningServer) -> None:
    with running_board(server.address) as board, ExitStack() as streams:
        for number in range(32):
            address = f"{board.address}answers?page=page-of-sixteen-letters{number}"
            streams.enter_context(urllib.request.urlopen(address, timeout=10))
        page = browser.new_page()
        page.goto(board.address)
        expect(page.locator("#detail")).to_contain_text("Too many pages")
        streams.close()
        urllib.request.urlopen(f"{board.address}leave?page=page-of-sixteen-letters0", b"")
        page.wait_for_selector("#state.ready")
        page.close()


def test_the_board_takes_its_picture_for_the_docs(browser: Browser, board: RunningBoard) -> None:
    page, _ = opened(browser, board, {"width": 1000, "height": 670})
    bend = np.linspace(0, 6 * np.pi, 90)
    scribble = [np.stack([800 + 7 * bend, 95 + 45 * np.sin(bend)], axis=1)]
    written = 0
    for row, labels in enumerate(("27182", "314159")):
        for place, ink in enumerate(real_digits(labels)):
            written += 1
            write(page, placed(ink, 50 + 155 * place, 40 + 205 * row, 105))
        expect(page.locator(".tag.final")).to_have_count(written)
        if not row:
            written += 1
            write(page, scribble)
            expect(page.locator(".tag.final")).to_have_count(written)
    assert read(page) == "27182?314159"
    page.locator(".tag").nth(9).hover()
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / "board.png")
    page.close()
