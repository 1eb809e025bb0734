"""Every expression of the dashboards, evaluated by Debian's Prometheus over a server under load."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from tests.system.conftest import Scene
from tests.system.load import FRAMES
from tests.system.prometheus import DEPLOY, shortened

CLOSE = 0.02
"""Largest relative difference of rates from those that the load recorded."""

Series = dict[tuple[str, ...], float]
"""Values by those of their labels, in order of the labels' names."""


def panels(name: str) -> dict[str, list[dict[str, Any]]]:
    """Give the queries of every panel of a dashboard, by title."""
    made = json.loads((DEPLOY / "grafana" / "dashboards" / f"{name}.json").read_text())
    return {it["title"]: it["targets"] for it in made["panels"] if it["type"] != "row"}


def ask(scene: Scene, expression: str) -> Series:
    """Ask as Grafana would, with its variables filled in."""
    filled = expression.replace("$job", "inkstream").replace("$instance", ".+")
    found = scene.ask(shortened(filled))
    return {tuple(labels[key] for key in sorted(labels)): value for labels, value in found}


@pytest.mark.parametrize("name", ["service", "ink", "model", "devices"])
def test_every_panel_shows_figures(scene: Scene, name: str) -> None:
    shown = panels(name)
    assert shown
    for title, targets in shown.items():
        for target in targets:
            found = ask(scene, target["expr"])
            assert found, f"{title}: no data: {target['expr']}"
            assert all(map(math.isfinite, found.values())), f"{title}: {target['expr']}: {found}"


def only(scene: Scene, name: str, title: str, legend: str | None = None) -> Series:
    """Return the series of a panel's only query, or of the query with a legend."""
    (target,) = (it for it in panels(name)[title] if legend is None or it["legendFormat"] == legend)
    return ask(scene, target["expr"])


def test_panels_of_traffic_show_the_load_that_was_sent(scene: Scene) -> None:
    tensors, glyphs = scene.sent("tensors"), scene.sent("glyphs")
    close = pytest.approx
    assert only(scene, "service", "Items per second")[()] == close(tensors + glyphs, rel=CLOSE)
    ended = only(scene, "service", "Items by outcome")
    assert ended["tensor", "ok"] == close(scene.sent("good"), rel=CLOSE)
    assert ended["tensor", "invalid"] == close(scene.sent("invalid"), rel=CLOSE)
    assert ended["ink", "ok"] == close(glyphs, rel=CLOSE)
    received = only(scene, "service", "Messages of streams", "received")
    assert received[()] == close(scene.sent("messages"), rel=CLOSE)
    answered = only(scene, "service", "Messages of streams", "sent")
    assert answered[()] == close(scene.sent("responses"), rel=CLOSE)
    assert only(scene, "service", "Answered") == {(): 1.0}
    # Each of four pens has an open glyph; at most some messages of tensors are in flight.
    assert 0 <= only(scene, "service", "Items under way", "accepted")[()] <= 4 + 10 * FRAMES
    for restarted in ("servers", "workers"):
        assert only(scene, "service", "Restarts", restarted) == {(): 0.0}
    assert only(scene, "service", "Streams") == {(): 3.0}


def test_batches_contain_all_recognised_items_and_histograms_count_each(scene: Scene) -> None:
    sizes = only(scene, "service", "Items per batch", "mean, {{network}}")
    batches = only(scene, "service", "Batches", "computed, {{network}}")
    items = sum(size * batches[network] for network, size in sizes.items())
    # Glyphs are computed at each pen-up, and at their end only if their ink has changed.
    assert scene.sent("good") * (1 - CLOSE) <= items
    assert items <= (scene.sent("good") + 3 * scene.sent("glyphs")) * (1 + CLOSE)
    latencies = only(scene, "service", "Latency of items")
    every = scene.sent("tensors") + scene.sent("glyphs")
    assert latencies["+Inf",] == pytest.approx(every, rel=CLOSE)
    half, most = (only(scene, "service", "Latency of tensors", it) for it in ("p50", "p99"))
    assert 0 < half[()] <= most[()]


def test_panels_of_pens_show_their_strokes_and_glyphs(scene: Scene) -> None:
    assert only(scene, "ink", "Open pens and glyphs", "pens") == {(): 4.0}
    assert only(scene, "ink", "Points")[()] == pytest.approx(scene.sent("points"), rel=CLOSE)
    ended = only(scene, "ink", "Glyphs by outcome")
    assert sum(ended.values()) == pytest.approx(scene.sent("glyphs"), rel=CLOSE)


def test_panels_of_digits_show_the_answers(scene: Scene) -> None:
    found = only(scene, "model", "Digits")
    assert sum(found.values()) == pytest.approx(1.0)
    # Pens write only ones, so all other digits come from tensors.
    answered = {digit: scene.sent(f"digit {digit}") for digit in range(10) if digit != 1}
    shown = {digit: found[str(digit),] for digit in answered}
    for digit, rate in answered.items():
        share = rate / sum(answered.values())
        assert shown[digit] / sum(shown.values()) == pytest.approx(share, rel=CLOSE), digit


def test_each_client_label_has_its_own_series(scene: Scene) -> None:
    found = only(scene, "devices", "Items")
    for client, what in (("kiosk", "kiosk"), ("tablet", "tablet"), ("pens", "glyphs")):
        assert found[client,] == pytest.approx(scene.sent(what), rel=CLOSE), client
    assert found["other",] == 0
    errors = only(scene, "devices", "Errors")
    assert errors["tablet",] == pytest.approx(
        scene.sent("invalid") / scene.sent("tablet"), rel=CLOSE
    )
    assert errors["kiosk",] == errors["pens",] == 0
    assert only(scene, "devices", "Streams")["kiosk",] == 1
