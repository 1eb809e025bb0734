"""Rules and alerts, checked by promtool without a server."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.system.programs import program

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"


def promtool(*arguments: str) -> str:
    done = subprocess.run(
        [program("promtool"), *arguments], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_configuration_and_its_rules_are_valid() -> None:
    assert "2 rule files found" in promtool("check", "config", "--lint-fatal", "prometheus.yml")
    assert "SUCCESS" in promtool("check", "rules", "--lint-fatal", "rules.yml", "alerts.yml")


@pytest.mark.parametrize("tests", ["rules_test.yml", "rules_days_test.yml"])
def test_alerts_fire_when_they_should_and_stay_quiet_otherwise(tests: str) -> None:
    assert "SUCCESS" in promtool("test", "rules", tests)


def test_the_adapter_reports_a_wait_of_zero_for_an_idle_pod(
    tmp_path: Path,
) -> None:
    adapter = ROOT / "deploy" / "kubernetes" / "queue-metric" / "prometheus-adapter.yaml"
    (rule,) = yaml.safe_load(adapter.read_text())["rules"]["custom"]
    asked = rule["metricsQuery"].replace("<<.GroupBy>>", "pod")
    asked = asked.replace("<<.LabelMatchers>>", 'namespace="inkstream",pod=~"busy|idle"')
    series = {
        "inkstream_queue_seconds_sum": {"busy": "0+6x10", "idle": "5x10"},
        "inkstream_queue_seconds_count": {"busy": "0+600x10", "idle": "500x10"},
    }
    expected = {"busy": 0.01, "idle": 0.0}
    test = {
        "interval": "15s",
        "input_series": [
            {"series": f'{name}{{namespace="inkstream",pod="{pod}"}}', "values": values}
            for name, pods in series.items()
            for pod, values in pods.items()
        ],
        "promql_expr_test": [
            {
                "expr": asked,
                "eval_time": "2m",
                "exp_samples": [
                    {"labels": f'{{pod="{pod}"}}', "value": value}
                    for pod, value in expected.items()
                ],
            }
        ],
    }
    written = tmp_path / "adapter_test.yml"
    written.write_text(yaml.safe_dump({"evaluation_interval": "15s", "tests": [test]}))
    assert "SUCCESS" in promtool("test", "rules", str(written))


def test_every_alert_is_tested_firing_and_quiet_and_has_a_runbook() -> None:
    alerts = re.split(r"\n(?=\s+- alert: )", (FOLDER / "alerts.yml").read_text())[1:]
    tests = "".join(
        (FOLDER / name).read_text() for name in ("rules_test.yml", "rules_days_test.yml")
    )
    checks = re.findall(r"alertname: (\w+)\n( +exp_alerts:)?", tests)
    runbook = (ROOT / "docs" / "operations.md").read_text()
    assert alerts
    for alert in (f"{it}\n" for it in alerts):
        (name,) = re.findall(r"- alert: (\w+)", alert)
        assert {bool(fires) for found, fires in checks if found == name} == {True, False}, name
        assert re.search(r"summary: \"[^\"].+\"\n", alert), name
        assert f"runbook: docs/operations.md#{name.lower()}\n" in alert, name
        assert f"### {name}\n" in runbook, f"{name}: no runbook"
