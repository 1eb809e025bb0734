"""One scene for all tests of metrics: a server under a recorded load, and Prometheus that scrapes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from time import sleep, time

import numpy as np
import pytest

from tests.integration.conftest import RunningServer, running_server
from tests.system.load import Load
from tests.system.programs import program
from tests.system.prometheus import WINDOW, Prometheus, running_prometheus

CALM_SECONDS = 0.25
"""Longest delay of load and scrapes when figures are compared: 1.2 % of a window."""
PATIENCE_SECONDS = 60.0
"""Longest wait for a window without such a delay."""


@dataclass
class Scene:
    """The server, its load and Prometheus."""

    server: RunningServer
    load: Load
    began: float
    prometheus: Prometheus

    @cached_property
    def moment(self) -> float:
        """Time at which figures are compared: the window before it has only steady load."""
        give_up = self.began + PATIENCE_SECONDS
        latest = self.began + WINDOW + 2
        while True:
            sleep(max(0.0, latest + 2 - time()))
            # So that the edges of the window are close to scrapes.
            moment = self.prometheus.scrapes(latest)[-1] + 0.05
            gaps = np.diff(self.prometheus.scrapes(moment))
            late = max(self.load.ledger.longest_gap(moment - WINDOW - 1, moment), gaps.max() - 1)
            # Prometheus begins some seconds after its start, and evaluates rules before the moment.
            is_full = len(self.prometheus.scrapes(moment - 2)) >= WINDOW
            if (is_full and late <= CALM_SECONDS) or latest > give_up:
                return moment
            latest += 2

    def ask(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Query Prometheus at the moment."""
        return self.prometheus.ask(expression, self.moment)

    def sent(self, what: str) -> float:
        """Return the rate that was sent between the scrapes of the window before the moment."""
        scrapes = self.prometheus.scrapes(self.moment)
        return self.load.ledger.rate(what, scrapes[0], scrapes[-1])


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    program("prometheus")
    folder = tmp_path_factory.mktemp("scene")
    with running_server(folder, "--workers", "2") as server:
        target = server.metrics_url.split("/")[2]
        with running_prometheus(folder, target) as prometheus, Load(server.address) as load:
            yield Scene(server, load, time(), prometheus)
