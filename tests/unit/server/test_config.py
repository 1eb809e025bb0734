from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from inkstream_server.config import ENGINES, Config, grouped, settings
from inkstream_server.model_store.store import BUNDLED
from inkstream_server.pens.settings import QuietTimes


def test_the_defaults_can_serve() -> None:
    config = Config()
    assert config.host == "127.0.0.1"
    assert config.model_store == BUNDLED
    assert config.engine in ENGINES


def test_a_configuration_never_changes() -> None:
    with pytest.raises(FrozenInstanceError):
        Config().port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("setting", "wrong"),
    [
        ("port", -1),
        ("port", 65536),
        ("metrics_port", 65536),
        ("max_batch", 0),
        ("max_batch", 257),
        ("max_queue", 0),
        ("window", 0),
        ("max_frames_per_message", 0),
        ("max_message_bytes", 4095),
        ("drain_timeout", -0.1),
        ("drain_timeout", float("nan")),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_name(setting: str, wrong: float) -> None:
    with pytest.raises(ValueError, match=rf"^{setting}: expected .* got {wrong}"):
        Config(**{setting: wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize("setting", ["host", "metrics_host"])
@pytest.mark.parametrize("wrong", ["a" * 64, "a..b", ".", "\udcff", "b" * 10_000])
def test_a_host_that_can_be_no_name_is_refused_by_name(setting: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=f"^{setting}: expected an address or a name") as refused:
        Config(**{setting: wrong})  # type: ignore[arg-type]  # By name.
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    "host", ["::1", "fe80::1%eth0", "0.0.0.0", "a" * 63, "größe.example", "a.b."]
)
def test_addresses_and_names_are_allowed_as_hosts(host: str) -> None:
    assert Config(host=host, metrics_host=host).host == host


@pytest.mark.parametrize(
    "edges",
    [
        {"port": 0, "metrics_port": 65535},
        {"max_batch": 1, "window": 1, "drain_timeout": 0.0},
        {"max_queue": 8, "max_frames_per_message": 8},
    ],
)
def test_the_bounds_of_a_range_are_allowed(edges: dict[str, Any]) -> None:
    assert Config(**edges) is not None


def test_a_queue_smaller_than_a_message_is_refused() -> None:
    with pytest.raises(ValueError, match=r"max_queue: expected at least .*\(1024\), got 1000"):
        Config(max_queue=1000)


@pytest.mark.parametrize(
    ("chosen", "in_force"),
    [
        ({}, (600, 250)),
        ({"quiet_ms": 2000}, (2000, 2000)),
        ({"quiet_ms": 100}, (100, 100)),
        ({"short_quiet_ms": 400}, (600, 400)),
        ({"quiet_ms": 900, "short_quiet_ms": 300}, (900, 300)),
    ],
)
def test_a_quiet_time_applies_to_every_digit_unless_a_short_one_is_also_set(
    chosen: dict[str, Any], in_force: tuple[int, int]
) -> None:
    config = Config(**chosen)
    assert (config.quiet_ms, config.short_quiet_ms) == in_force


def test_the_default_quiet_times_are_those_of_pens() -> None:
    config = Config()
    assert QuietTimes() == QuietTimes(config.quiet_ms / 1000, config.short_quiet_ms / 1000)


def test_a_short_quiet_time_longer_than_the_quiet_time_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"short_quiet_ms: expected at most quiet_ms \(200\), got 500"
    ):
        Config(quiet_ms=200, short_quiet_ms=500)


def test_every_setting_has_a_unit_and_a_help_text() -> None:
    for setting in settings():
        assert setting.metadata["unit"], setting.name
        assert setting.metadata["help"].endswith("."), setting.name


def test_every_setting_stands_under_a_heading() -> None:
    assert [it.name for members in grouped().values() for it in members] == [
        it.name for it in settings()
    ]
    assert all(grouped())


def test_a_bounded_setting_allows_its_default() -> None:
    for setting in settings():
        if setting.metadata["between"]:
            least, most = setting.metadata["between"]
            assert least <= setting.default <= most, setting.name
