"""What the dashboards tell Grafana of each panel, where its defaults would mislead."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[3] / "deploy" / "grafana" / "dashboards"
PANELS: list[dict[str, Any]] = [
    panel
    for path in sorted(FOLDER.glob("*.json"))
    for panel in json.loads(path.read_text())["panels"]
    if panel["type"] != "row"
]
STATS = [panel for panel in PANELS if panel["type"] == "stat"]
HEATMAPS = [panel for panel in PANELS if panel["type"] == "heatmap"]


def titled(title: str) -> dict[str, Any]:
    (panel,) = (it for it in PANELS if it["title"] == title)
    return panel


def steps(panel: dict[str, Any]) -> dict[float | None, str]:
    """Give colours by the value from which on they hold; None is for what is no number, too."""
    found = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    return {it["value"]: it["color"] for it in found}


@pytest.mark.parametrize(
    ("title", "promised"), [("Answered", 0.999), ("In time", 0.99)], ids=["answered", "in time"]
)
def test_a_share_that_was_promised_is_green_from_the_promise_on(
    title: str, promised: float
) -> None:
    panel = titled(title)
    assert steps(panel) == {None: "text", 0: "red", promised: "green"}
    assert f"{promised * 100:g} % is promised" in panel["description"]


def test_traffic_is_neither_good_nor_bad() -> None:
    # Without thresholds of its own a panel is green, and red from 80 on.
    for panel in STATS:
        if panel["title"] not in {"Answered", "In time"}:
            assert steps(panel) == {None: "text"}, panel["title"]


def test_a_model_is_named_where_all_servers_answer_with_the_same() -> None:
    # By default names are shown where there are several.
    assert titled("Version")["options"]["textMode"] == "value_and_name"


def test_heat_maps_have_units_and_say_what_is_under_the_pointer() -> None:
    units = {it["title"]: it["options"]["yAxis"].get("unit") for it in HEATMAPS}
    assert units == {"Latency of items": "s", "Confidence": "percentunit"}
    for panel in HEATMAPS:
        assert panel["options"]["tooltip"]["show"] is True, panel["title"]


def test_latencies_show_the_traces_that_their_buckets_name() -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            latency = "inkstream_item_latency_seconds_bucket" in target["expr"]
            is_shown = latency and panel["type"] != "stat"
            assert target.get("exemplar", False) is is_shown, panel["title"]
