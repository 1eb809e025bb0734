"""Settings of dashboard panels for which Grafana's defaults would mislead."""

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
    """Return colours by the value from which they apply; None also stands for a missing number."""
    found = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    return {it["value"]: it["color"] for it in found}


@pytest.mark.parametrize(
    ("title", "objective"), [("Answered", 0.999), ("In time", 0.99)], ids=["answered", "in time"]
)
def test_a_share_with_an_objective_is_green_from_its_objective_up(
    title: str, objective: float
) -> None:
    panel = titled(title)
    assert steps(panel) == {None: "text", 0: "red", objective: "green"}
    assert f"the objective is {objective * 100:g} %" in panel["description"]


def test_stats_without_an_objective_have_no_thresholds() -> None:
    # By default a panel is green, and red from 80.
    for panel in STATS:
        if panel["title"] not in {"Answered", "In time"}:
            assert steps(panel) == {None: "text"}, panel["title"]


def test_the_version_panel_names_the_model_even_if_there_is_only_one() -> None:
    # By default Grafana shows names only if there are several.
    assert titled("Version")["options"]["textMode"] == "value_and_name"


def test_heat_maps_have_units_and_tooltips() -> None:
    units = {it["title"]: it["options"]["yAxis"].get("unit") for it in HEATMAPS}
    assert units == {"Latency of items": "s", "Confidence": "percentunit"}
    for panel in HEATMAPS:
        assert panel["options"]["tooltip"]["show"] is True, panel["title"]


def test_latency_panels_show_exemplars() -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            latency = "inkstream_item_latency_seconds_bucket" in target["expr"]
            is_shown = latency and panel["type"] != "stat"
            assert target.get("exemplar", False) is is_shown, panel["title"]
