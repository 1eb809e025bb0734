"""TLS from devices to the real Envoy and on to servers, with deploy/envoy/envoy-tls.yaml."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest
from inkstream import AccessDenied, ConnectionFailed, Tls
from inkstream_server.access.allowance import Quota
from inkstream_server.access.tokens import make

from tests.certificates import Authority
from tests.patience import eventually
from tests.system.fleet import Authorities, Fleet, running_fleet

BLANK = np.zeros((28, 28), np.uint8)

AUTHORITIES, RENEWED = Authorities(), Authorities()
TOKEN, TOKEN_LINE = make("school-7", Quota())


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A server with tokens behind Envoy, and a second machine without a server."""
    tokens = tmp_path_factory.mktemp("tokens") / "tokens.txt"
    tokens.write_text(TOKEN_LINE)
    with running_fleet(2, "--tokens", str(tokens), tls=AUTHORITIES) as fleet:
        yield fleet


async def recognize(fleet: Fleet, root: bytes, token: str = TOKEN) -> None:
    """Recognise an image over a new connection."""
    async with fleet.client(tls=Tls(root), token=token, connect_timeout=5) as client:
        assert (await client.recognize(BLANK)).digit in range(10)


async def test_a_callers_token_reaches_the_servers(fleet: Fleet) -> None:
    await recognize(fleet, AUTHORITIES.devices.certificate)
    with pytest.raises(AccessDenied, match="pass the `token` that the server knows"):
        await recognize(fleet, AUTHORITIES.devices.certificate, token="school-7.wrong")


async def test_a_client_that_trusts_another_authority_gets_an_error_that_says_so(
    fleet: Fleet,
) -> None:
    for stranger in (Authority(), AUTHORITIES.inside):
        with pytest.raises(ConnectionFailed, match=r"is not trusted \(.*local issuer.*signed by"):
            await recognize(fleet, stranger.certificate)


async def test_a_client_without_tls_gets_an_error_that_suggests_tls(fleet: Fleet) -> None:
    async with fleet.client(tls=None, connect_timeout=5) as client:
        with pytest.raises(ConnectionFailed, match="does it expect TLS"):
            await client.recognize(BLANK)


async def test_a_host_of_another_authority_gets_no_stream(fleet: Fleet) -> None:
    ours, stranger = fleet.machines
    await asyncio.to_thread(fleet.start, stranger, tls=RENEWED)
    fleet.proxy.list_hosts(fleet.machines)
    refused = r"cluster\.servers\.ssl\.fail_verify_error"
    await eventually("the handshake fails", lambda: fleet.proxy.count(refused) >= 2)
    assert fleet.proxy.healthy() == {ours.address}
    for _ in range(4):
        await recognize(fleet, AUTHORITIES.devices.certificate)
    assert fleet.items(stranger) == 0


async def test_renewed_certificates_apply_to_new_connections_and_open_ones_continue(
    fleet: Fleet,
) -> None:
    newcomer = fleet.machines[1]
    async with fleet.client(token=TOKEN) as before:
        await before.recognize(BLANK)
        fleet.proxy.renew(RENEWED)
        await eventually(
            "the new host is trusted", lambda: newcomer.address in fleet.proxy.healthy()
        )
        updates = r"listener.*ssl_context_update_by_sds"
        await eventually("the new certificates are used", lambda: fleet.proxy.count(updates) >= 2)
        # One host has a stream, so the next one goes to the other.
        await recognize(fleet, RENEWED.devices.certificate)
        assert fleet.items(newcomer) == 1
        with pytest.raises(ConnectionFailed, match="local issuer"):
            await recognize(fleet, AUTHORITIES.devices.certificate)
        await before.recognize(BLANK)
