from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from inkstream_server.cli.preflight import preflight_errors
from inkstream_server.config import Config
from inkstream_server.errors import StartError
from inkstream_server.process import descriptors
from inkstream_server.process.http_port import MOST_CONNECTIONS


class Limits:
    """The limits of a process, without the process."""

    def __init__(self) -> None:
        self.soft, self.hard = 1024, 4096

    def getrlimit(self, _: int) -> tuple[int, int]:
        return self.soft, self.hard

    def setrlimit(self, _: int, limits: tuple[int, int]) -> None:
        assert limits[0] <= limits[1] == self.hard
        self.soft = limits[0]


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[Limits]:
    limits = Limits()
    for name in ("getrlimit", "setrlimit"):
        monkeypatch.setattr(resource, name, getattr(limits, name))
    yield limits


def test_the_soft_limit_rises_to_what_the_connections_need(limits: Limits) -> None:
    config = Config(max_connections=2000)
    descriptors.prepare(config)
    assert limits.soft == 2000 + MOST_CONNECTIONS + descriptors.OWN
    assert descriptors.for_callers(config) == 2000


def test_beyond_the_hard_limit_fewer_connections_are_accepted(limits: Limits) -> None:
    config = Config()
    descriptors.prepare(config)
    assert limits.soft == limits.hard
    accepted = descriptors.for_callers(config)
    assert accepted + descriptors.for_pages() + descriptors.OWN == limits.hard


def test_a_limit_that_suffices_is_left_alone(limits: Limits) -> None:
    limits.soft = limits.hard = resource.RLIM_INFINITY
    descriptors.prepare(Config())
    assert limits.soft == resource.RLIM_INFINITY
    assert descriptors.for_callers(Config()) == Config().max_connections


@pytest.mark.parametrize("workers", [1, 2, 100])
def test_the_least_limit_leaves_connections_and_a_lower_one_is_an_error(
    limits: Limits, workers: int, tmp_path: Path
) -> None:
    config = Config(workers=workers)
    least = descriptors.least_of(config)
    limits.soft = limits.hard = least
    descriptors.prepare(config)
    assert descriptors.for_pages() >= 4
    assert descriptors.for_callers(config) >= 8
    limits.hard -= 1
    with pytest.raises(StartError, match=rf"may open {limits.hard}, and needs at least {least}"):
        descriptors.prepare(config)
    assert any(it.startswith("open files: ") for it in preflight_errors(config))
