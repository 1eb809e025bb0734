from __future__ import annotations

import pytest
from inkstream_server.process.hosts import is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_an_address_of_this_machine_only_is_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "fe80::1", "no.such.host.invalid"])
def test_any_other_address_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)
