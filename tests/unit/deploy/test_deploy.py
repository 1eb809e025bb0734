"""Checks the files of deploy/ against the schemas of the programs that read them, and against each other."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import inkstream
import jsonschema  # type: ignore[import-untyped]  # types-jsonschema is one package more
import kubernetes_validate  # type: ignore[import-untyped]  # has no types
import pytest
import yaml
from compose_spec import PyCompose
from inkstream_server.config import Config, settings, variable_of
from inkstream_server.metrics.items import Metrics
from prometheus_client import CollectorRegistry

DEPLOY = Path(__file__).parents[3] / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
KUBERNETES_VERSIONS = ["1.30", "1.37"]
"""The oldest that kustomization.yaml names, and the newest that the validator knows."""
NO_OBJECTS = {"kustomization.yaml"}
MANIFESTS = sorted(p.name for p in KUBERNETES.glob("*.yaml") if p.name not in NO_OBJECTS)

# The part of monitoring.coreos.com/v1 that is used; no package for tests has the operator's schema.
SERVICE_MONITOR = {
    "type": "object",
    "additionalProperties": False,
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "monitoring.coreos.com/v1"},
        "kind": {"const": "ServiceMonitor"},
        "metadata": {"type": "object", "required": ["name"]},
        "spec": {
            "type": "object",
            "additionalProperties": False,
            "required": ["selector", "endpoints"],
            "properties": {
                "jobLabel": {"type": "string"},
                "selector": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"matchLabels": {"type": "object"}},
                },
                "endpoints": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "properties": {
                            "port": {"type": "string"},
                            "interval": {"pattern": "^[0-9]+(ms|s|m)$"},
                        },
                    },
                },
            },
        },
    },
}


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def manifest(name: str) -> Any:
    return read(KUBERNETES / f"{name}.yaml")


def pod() -> Any:
    return manifest("deployment")["spec"]["template"]["spec"]


@pytest.mark.parametrize("name", MANIFESTS)
def test_every_manifest_is_valid(name: str) -> None:
    found = read(KUBERNETES / name)
    if found["kind"] == "ServiceMonitor":
        jsonschema.validate(found, SERVICE_MONITOR)
    elif found["kind"] != "PrometheusRule":
        for version in KUBERNETES_VERSIONS:
            kubernetes_validate.validate(found, version, strict=True)


def test_the_rules_and_alerts_for_kubernetes_are_the_tested_ones() -> None:
    rule = manifest("prometheus-rule")
    assert (rule["apiVersion"], rule["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    rules, alerts = (read(DEPLOY / "prometheus" / f"{it}.yml") for it in ("rules", "alerts"))
    groups = [*rules["groups"], *alerts["groups"]]
    assert rule["spec"] == {"groups": groups}, "run 'make rules' and commit the result"


def test_the_tests_of_alerts_expect_their_current_summaries() -> None:
    # Only `make test-system` has promtool, which compares them exactly.
    alerts = read(DEPLOY / "prometheus" / "alerts.yml")
    rules = [rule for group in alerts["groups"] for rule in group["rules"]]
    for name in ("rules_test", "rules_days_test"):
        for test in read(DEPLOY / "prometheus" / f"{name}.yml")["tests"]:
            for case in test["alert_rule_test"]:
                summaries = [
                    re.sub(r"\\{\\{.*?\\}\\}", ".+", re.escape(rule["annotations"]["summary"]))
                    for rule in rules
                    if rule["alert"] == case["alertname"]
                ]
                for expected in case.get("exp_alerts", []):
                    shown = expected["exp_annotations"]["summary"]
                    assert any(re.fullmatch(it, shown) for it in summaries), shown


def test_the_kustomization_names_every_manifest() -> None:
    assert sorted(manifest("kustomization")["resources"]) == MANIFESTS


def test_every_selector_finds_the_pods() -> None:
    labels = manifest("deployment")["spec"]["template"]["metadata"]["labels"]
    assert manifest("deployment")["spec"]["selector"] == {"matchLabels": labels}
    assert manifest("services")["spec"]["selector"] == labels
    assert manifest("disruption")["spec"]["selector"] == {"matchLabels": labels}
    assert manifest("network-policy")["spec"]["podSelector"] == {"matchLabels": labels}


def test_ports_are_those_that_the_server_opens() -> None:
    ports = {it["name"]: it["containerPort"] for it in pod()["containers"][0]["ports"]}
    assert ports == {"grpc": Config().port, "metrics": Config().metrics_port}
    assert pod()["containers"][0]["readinessProbe"]["grpc"]["port"] == Config().port
    dockerfile = (DEPLOY / "docker" / "Dockerfile").read_text()
    assert f"EXPOSE {Config().port} {Config().metrics_port}\n" in dockerfile


def test_a_pod_gets_the_time_that_its_drain_may_take() -> None:
    (line,) = re.findall(r"DRAIN_TIMEOUT=(\d+)", (KUBERNETES / "settings.env").read_text())
    pause = pod()["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod()["terminationGracePeriodSeconds"] > pause + int(line)
    stop = read(DEPLOY / "compose.yaml")["services"]["server"]["stop_grace_period"]
    assert int(stop.removesuffix("s")) > Config().drain_timeout


def test_a_pod_refuses_streams_before_they_fill_its_memory() -> None:
    start, stream = 100, 0.06  # MB, from docs/growth.md: idle streams, each on its own connection.
    set_here = dict(re.findall(r"(MAX_\w+)=(\d+)", (KUBERNETES / "settings.env").read_text()))
    memory = pod()["containers"][0]["resources"]["limits"]["memory"]
    most = int(memory.removesuffix("Mi")) * 1.048576
    for name in ("max_streams", "max_connections"):
        limit = int(set_here.get(name.upper(), getattr(Config(), name)))
        # A quarter is left for busy streams.
        assert start + stream * limit < 0.75 * most, name


def test_the_autoscaler_uses_a_metric_that_the_adapter_derives_from_existing_ones() -> None:
    (patch,) = manifest("queue-metric/kustomization")["patches"]
    (addition,) = yaml.safe_load(patch["patch"])
    (rule,) = manifest("queue-metric/prometheus-adapter")["rules"]["custom"]
    assert addition["value"]["pods"]["metric"] == {"name": rule["name"]["as"]}
    registry = CollectorRegistry()
    Metrics(registry, lambda: [0, 0, 0])
    shown = {sample.name for metric in registry.collect() for sample in metric.samples}
    asked = {*re.findall(r"inkstream_\w+", rule["seriesQuery"] + rule["metricsQuery"])}
    assert asked == {"inkstream_queue_seconds_sum", "inkstream_queue_seconds_count"}
    assert asked <= shown


def test_the_autoscaler_needs_only_cpu_by_default() -> None:
    # It does not scale down while a metric is unknown.
    (metric,) = manifest("autoscaler")["spec"]["metrics"]
    assert (metric["type"], metric["resource"]["name"]) == ("Resource", "cpu")


def test_kubernetes_sets_no_variable_that_reads_as_a_setting() -> None:
    # Service inkstream would set INKSTREAM_PORT=tcp://...
    assert pod()["enableServiceLinks"] is False


def test_every_variable_in_deploy_is_a_setting() -> None:
    known = {variable_of(setting) for setting in settings()}
    for path in DEPLOY.rglob("*"):
        if path.is_file() and path.suffix in {"", ".yaml", ".env"}:
            assert (
                set(re.findall(r"\bINKSTREAM_[A-Z_]+", path.read_text())) - {"INKSTREAM_PORT"}
                <= known
            ), path


def test_images_carry_the_version_of_the_packages() -> None:
    (image,) = manifest("kustomization")["images"]
    server = read(DEPLOY / "compose.yaml")["services"]["server"]
    assert image["newTag"] == inkstream.__version__
    assert server["image"] == f"inkstream-server:{inkstream.__version__}"


def test_the_compose_file_is_valid() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    PyCompose.from_yaml(text).validate()
    with pytest.raises(ValueError, match="restrat"):
        PyCompose.from_yaml(text.replace("restart:", "restrat:"))


def test_compose_publishes_ports_on_loopback_only_and_mounts_existing_folders() -> None:
    for service in read(DEPLOY / "compose.yaml")["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert not service.get("image", "").endswith((":latest", "/"))
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert not source.startswith(".") or (DEPLOY / source).exists(), volume


def test_every_container_of_compose_is_locked() -> None:
    for name, service in read(DEPLOY / "compose.yaml")["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "cap_add", "network_mode", "pid", "user"} & service.keys(), name
        for volume in service.get("volumes", ()):
            # Only volumes of Docker may be written to.
            assert not volume.startswith(".") or volume.endswith(":ro"), volume


def test_grafana_has_no_known_password_and_no_basic_auth() -> None:
    grafana = read(DEPLOY / "compose.yaml")["services"]["grafana"]
    settings = grafana["environment"]
    assert settings["GF_AUTH_BASIC_ENABLED"] == "false"
    assert settings["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert "GF_SECURITY_ADMIN_PASSWORD" not in settings
    # Its start script makes the password in the volume that Grafana keeps.
    assert settings["GF_SECURITY_ADMIN_PASSWORD__FILE"].startswith("/var/lib/grafana/")
    assert "grafana:/var/lib/grafana" in grafana["volumes"]
    assert grafana["entrypoint"] == ["sh", "/etc/inkstream/start.sh", "/run.sh"]


def test_grafana_makes_its_password_once_for_itself_alone(tmp_path: Path) -> None:
    script, file = DEPLOY / "grafana" / "start.sh", tmp_path / "admin-password"

    def start() -> str:
        done = subprocess.run(
            ["sh", script, "sh", "-c", 'umask; cat "$GF_SECURITY_ADMIN_PASSWORD__FILE"'],
            env={"PATH": os.environ["PATH"], "GF_SECURITY_ADMIN_PASSWORD__FILE": str(file)},
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout

    os.umask(before := os.umask(0o022))
    first = start()
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(base64.b64decode(file.read_text())) == 24
    assert first == start() == f"{before:04o}\n{file.read_text()}", "neither made anew nor spread"
    file.write_text("")  # A start that the machine interrupted.
    assert start() != first
    assert [it.name for it in tmp_path.iterdir()] == ["admin-password"]


def test_images_of_others_are_pinned_by_digest_and_say_their_version() -> None:
    compose = (DEPLOY / "compose.yaml").read_text()
    composed = re.findall(
        r"^    image: (.*)", compose.replace("inkstream-server", ""), re.MULTILINE
    )
    composed = [image for image in composed if not image.startswith(":")]
    assert len(composed) == 2
    for image in composed:
        assert re.fullmatch(r"[a-z]+/[a-z]+@sha256:[0-9a-f]{64}  # v?\d+\.\d+\.\d+", image), image
    dockerfile = (DEPLOY / "docker" / "Dockerfile").read_text()
    built, run = re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)
    assert built == run
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", run)


def test_the_namespace_refuses_pods_that_are_not_locked() -> None:
    labels = manifest("namespace")["metadata"]["labels"]
    assert labels == {"pod-security.kubernetes.io/enforce": "restricted"}
    (container,) = pod()["containers"]
    # What "restricted" asks for.
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod()["securityContext"]["runAsNonRoot"] is True
    assert pod()["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod()["automountServiceAccountToken"] is False


def test_prometheus_of_compose_differs_by_the_servers_address_only() -> None:
    alone, composed = (
        read(DEPLOY / "prometheus" / f"{it}.yml") for it in ("prometheus", "compose")
    )
    (job,) = (it for it in alone["scrape_configs"] if it["job_name"] == "inkstream")
    (target,) = job["static_configs"]
    assert target["targets"] == [f"127.0.0.1:{Config().metrics_port}"]
    target["targets"] = [f"server:{Config().metrics_port}"]
    assert composed == alone


def test_the_dockerfile_passes_hadolint() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run(
        [hadolint, DEPLOY / "docker" / "Dockerfile"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_the_image_runs_without_root_compiler_and_checkout() -> None:
    dockerfile = (DEPLOY / "docker" / "Dockerfile").read_text()
    last = dockerfile[dockerfile.rindex("\nFROM") :]
    assert "USER 10001:10001" in last
    assert "HEALTHCHECK" in last
    assert re.findall(r"COPY (.*)", last) == ["--from=build /opt/inkstream /opt/inkstream"]
    assert re.findall(r"FROM \S+:latest", dockerfile) == []


def test_the_envoy_files_differ_only_in_tls() -> None:
    plain, tls = (read(DEPLOY / "envoy" / f"{it}.yaml") for it in ("envoy", "envoy-tls"))
    resources = tls["static_resources"]
    for part in (resources["listeners"][0]["filter_chains"][0], resources["clusters"][0]):
        assert part.pop("transport_socket")["name"] == "envoy.transport_sockets.tls"
    assert tls == plain


def test_envoy_opens_no_more_streams_on_a_connection_than_a_server_allows() -> None:
    (cluster,) = read(DEPLOY / "envoy" / "envoy.yaml")["static_resources"]["clusters"]
    (options,) = cluster["typed_extension_protocol_options"].values()
    opened = options["explicit_http_config"]["http2_protocol_options"]["max_concurrent_streams"]
    assert opened < Config().max_streams_per_connection == 1024  # As envoy.yaml says.
