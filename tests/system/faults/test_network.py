"""Items while the network between client and server fails."""

from __future__ import annotations

import pytest
from inkstream import AsyncClient, ConnectionState

from tests.integration.conftest import RunningServer
from tests.patience import eventually
from tests.system.faults.proxy import FAIR, Weather, fault_proxy
from tests.system.faults.traffic import Images, traffic
from tests.system.promises import Promises

NOTHING_LOST = "every item is answered once and right"

WEATHERS = {
    "100 ms of delay each way": Weather(delay=0.1),
    "jitter of up to 30 ms (reordering, as TCP shows it)": Weather(delay=0.005, jitter=0.03),
    "one piece in twenty lost (200 ms until it is sent again)": Weather(stalls=0.05),
    "64 kB/s each way": Weather(bytes_per_second=64_000),
}


@pytest.mark.parametrize("name", WEATHERS)
async def test_a_bad_network_delays_items_and_loses_none(
    name: str, server: RunningServer, images: Images, promises: Promises
) -> None:
    async with fault_proxy(server.address) as network:
        network.weather = WEATHERS[name]
        async with traffic(network.address, images, clients=2) as callers:
            await callers.more(200)
            network.weather = FAIR
    assert callers.outcomes.right == callers.outcomes.items
    promises.kept(name, NOTHING_LOST, callers.outcomes)


@pytest.mark.parametrize("way", ["reset", "truncated in the middle of a message"])
async def test_broken_connections_lose_no_items(
    way: str, server: RunningServer, images: Images, promises: Promises
) -> None:
    async with fault_proxy(server.address) as network:
        async with traffic(network.address, images) as callers:
            for _ in range(20):
                await callers.more(100)
                if way == "reset":
                    network.reset()
                else:
                    network.truncate_after(1000)
            await callers.more(100)
        assert network.connections > 20
    assert callers.outcomes.right == callers.outcomes.items
    promises.kept(
        f"connections {way}, 20 times under load",
        NOTHING_LOST,
        f"{callers.outcomes}, {network.connections} connections",
    )


async def test_a_cut_cable_is_detected_on_both_sides_and_loses_no_items(
    server: RunningServer, images: Images, promises: Promises
) -> None:
    def streams() -> float:
        return server.metrics().value("inkstream_streams")

    states: list[ConnectionState] = []
    async with (
        fault_proxy(server.address) as network,
        AsyncClient(network.address, on_state=lambda event: states.append(event.state)) as client,
    ):
        await client.recognize(images[0])
        assert streams() == 1
        network.freeze()
        # PATIENCE_SECONDS is the promise: 30 s.
        await eventually(
            "both sides end a stream whose cable is cut",
            lambda: not streams() and ConnectionState.LOST in states,
        )
        answer = client.submit(images[0])
        network.thaw()
        await answer
    promises.kept(
        "cable cut without notice (half-open)",
        "keepalive finds it within 30 s; the item is answered when the cable is back",
        "stream lost to the client and gone from the server, item answered",
    )
