"""Writes the dashboards of `panels` as Grafana reads them: `python deploy/grafana/generate.py [--check]`."""

from __future__ import annotations

import sys
from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, heatmap, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    BigValueTextMode,
    StackingMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from panels import DASHBOARDS
from panels.panel import Panel

FOLDER = Path(__file__).parent / "dashboards"
SOURCE = DataSourceRef(type_val="prometheus", uid="$datasource")
WIDTH = 24
"""Columns of a dashboard."""
WITH_EXEMPLARS = "inkstream_item_latency_seconds_bucket"
"""The series whose exemplars name traces; see docs/operations.md."""

AnyPanel = timeseries.Panel | heatmap.Panel | stat.Panel


def build(name: str) -> str:
    """Give one dashboard as JSON."""
    made = (
        dashboard.Dashboard(f"inkstream: {name.title()}")
        .uid(f"inkstream-{name}")
        .tags(["inkstream"])
        .refresh("10s")
        .time("now-30m", "now")
        .timezone("browser")
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
        )
        .with_variable(_variable("job", "inkstream_streams"))
        .with_variable(
            _variable("instance", 'inkstream_streams{job="$job"}')
            .include_all(True)
            .all_value(".+")
            .multi(True)
        )
    )
    for row, panels in DASHBOARDS[name].items():
        made.with_row(dashboard.Row(row))
        for panel in panels:
            made.with_panel(
                _panel(panel)
                .span(max(6, WIDTH // len(panels)))
                .height(4 if panel.kind == "stat" else 8)
            )
    return JSONEncoder(sort_keys=True, indent=2).encode(made.build()) + "\n"


def _variable(label: str, series: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(label)
        .datasource(SOURCE)
        .query(f"label_values({series}, {label})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    )


def _panel(panel: Panel) -> AnyPanel:
    made: AnyPanel
    if panel.kind == "heatmap":
        made = heatmap.Panel().calculate(False).show_tooltip()
        made.y_axis(heatmap.YAxisConfig().unit(panel.unit))
    elif panel.kind == "stat":
        made = stat.Panel().graph_mode(BigValueGraphMode.AREA).unit(panel.unit)
        made.thresholds(_thresholds(panel.promised))
        if any("{{" in legend for legend in panel.queries):
            made.text_mode(BigValueTextMode.VALUE_AND_NAME)
    else:
        made = timeseries.Panel().unit(panel.unit).min(0).fill_opacity(10)
        if panel.most is not None:
            made.max(panel.most)
        if panel.kind == "stacked":
            made.stacking(common.StackingConfig().mode(StackingMode.NORMAL)).fill_opacity(40)
    made.title(panel.title).description(panel.about).datasource(SOURCE)
    for legend, expression in panel.queries.items():
        query = prometheus.Dataquery().expr(expression).legend_format(legend).datasource(SOURCE)
        if panel.kind == "heatmap":
            query.format(PromQueryFormat.HEATMAP)
        if panel.kind != "stat" and WITH_EXEMPLARS in expression:
            query.exemplar(True)
        made.with_target(query)
    return made


def _thresholds(promised: float | None) -> dashboard.ThresholdsConfig:
    """Colour a figure by its objective. Without one use no colour: Grafana's default is red from 80."""
    steps = [Threshold(None, "text")]  # A missing number has this colour too.
    if promised is not None:
        steps += [Threshold(0, "red"), Threshold(promised, "green")]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def main() -> None:
    """Write all dashboards, or with --check compare them with what is there."""
    made = {FOLDER / f"{name}.json": build(name) for name in DASHBOARDS}
    if "--check" in sys.argv[1:]:
        if any(not path.is_file() or path.read_text() != text for path, text in made.items()):
            sys.exit(
                f"{FOLDER.name}: differ from panels/: run 'make dashboards' and commit the result"
            )
        return
    FOLDER.mkdir(exist_ok=True)
    for path, text in made.items():
        path.write_text(text)


if __name__ == "__main__":
    main()
