"""The status page in real Chromium, over a server under load. Also takes the README's picture."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.integration.conftest import RunningServer, running_server
from tests.system.conftest import Scene
from tests.system.programs import program

PICTURES = Path(os.environ.get("PICTURES", "plots"))
"""Folder for pictures; `make test-system PICTURES=docs/pictures` replaces the committed ones."""
WIDE, PHONE = {"width": 1180, "height": 1060}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # In a container, root may not make Chromium's sandbox; the tests open only our own page.
        yield playwright.chromium.launch(
            executable_path=program("chromium"), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )


def opened(
    browser: Browser, server: RunningServer, size: dict[str, int], scheme: str, least: int = 8
) -> tuple[Page, list[str]]:
    """Open the page and wait until its charts have `least` points; gives it and complaints."""
    # Size and colour scheme, as playwright's types name them.
    options: Any = {"viewport": size, "color_scheme": scheme}
    page = browser.new_page(**options, device_scale_factor=2)
    complaints: list[str] = []
    page.on(
        "console",
        lambda it: complaints.append(it.text) if it.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}"))
    page.goto(server.metrics_url.removesuffix("metrics"))
    page.wait_for_selector("#state.ready")
    wait_for_points(page, least)
    return page, complaints


def wait_for_points(page: Page, least: int) -> None:
    # The page's policy forbids wait_for_function; polling is allowed.
    give_up = monotonic() + 60
    while page.evaluate("points.length") < least:
        assert monotonic() < give_up, "no points"
        page.wait_for_timeout(250)


def figure(page: Page, name: str) -> str:
    text: str = page.locator(".tile", has_text=name).locator("b").inner_text()
    return text


@pytest.mark.parametrize(
    ("size", "scheme", "picture"),
    [(WIDE, "light", "status.png"), (PHONE, "dark", "status-phone.png")],
    ids=["wide", "phone"],
)
def test_the_page_shows_the_load_and_fits(
    browser: Browser, scene: Scene, tmp_path: Path, size: dict[str, int], scheme: str, picture: str
) -> None:
    page, complaints = opened(browser, scene.server, size, scheme)
    assert not complaints
    expected = 820.0  # 20 ticks a second of two messages of 20 frames and a glyph.
    assert float(figure(page, "items a second")) == pytest.approx(expected, rel=0.25)
    assert figure(page, "streams open") == "3"
    assert figure(page, "pens open") == "4"
    assert figure(page, "answered").startswith("100")
    assert "digits/" in page.locator("#about").inner_text()
    lines = page.locator("svg path").evaluate_all("all => all.map(it => it.getAttribute('d'))")
    assert len(lines) > 5
    assert all(line.startswith("M") and "NaN" not in line for line in lines)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
        "it scrolls sideways"
    )
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / picture, full_page=size is WIDE)
    page.close()


def test_the_page_reports_that_the_server_is_gone(browser: Browser, scene: Scene) -> None:
    page, _ = opened(browser, scene.server, WIDE, "light", least=1)
    page.route("**/metrics", lambda route: route.abort())
    page.wait_for_selector("#state.gone")
    assert page.locator("#state").inner_text() == "unreachable"
    assert re.search(r"\d", figure(page, "streams open")), "earlier figures stay"
    page.close()


def seconds_silent(page: Page) -> int:
    output = re.fullmatch(r"no answer for (\d+) s", page.locator("#state").inner_text())
    assert output is not None
    return int(output[1])


def test_the_page_shows_how_long_a_server_is_silent_and_draws_no_points_meanwhile(
    browser: Browser, tmp_path: Path
) -> None:
    with running_server(tmp_path) as server:
        page, _ = opened(browser, server, WIDE, "light", least=2)
        before = page.evaluate("points.length")
        server.process.send_signal(signal.SIGSTOP)
        try:
            page.wait_for_selector("#state.gone")
            silent = seconds_silent(page)
            # Until the page abandons one request and sends the next.
            page.wait_for_event("requestfailed")
            assert page.evaluate("points.length") - before <= 1, (
                "one request may have been in flight"
            )
            assert seconds_silent(page) > silent
        finally:
            server.process.send_signal(signal.SIGCONT)
        page.wait_for_selector("#state.ready")
        wait_for_points(page, before + 3)
        points = page.evaluate("points.map(it => [it.at, it.cpu])")
        steps = [later - earlier for (earlier, _), (later, _) in pairwise(points)]
        assert min(steps) >= 1000, "rates over less would be noise"
        assert all(0 <= cpu <= (os.cpu_count() or 1) for _, cpu in points)
        page.close()
