"""The proxy of a target, by gRPC's rules for the environment."""

from __future__ import annotations

import pytest
from inkstream._options.client import Options
from inkstream._options.proxies import is_loopback, proxy_of

VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy", "no_grpc_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "target",
    [
        "localhost:1",
        "LOCALHOST.:1",
        "ink.localhost:1",
        "127.0.0.1:1",
        "127.8.9.10:1",
        "[::1]:1",
        "0.0.0.0:1",
        "ipv4:127.0.0.1:1,127.0.0.2:1",
        "ipv6:[::1]:1",
        "dns:localhost:1",
        "dns:///localhost:1",
        "dns://192.0.2.1/localhost:1",
        "unix:/run/ink",
        "unix-abstract:ink",
    ],
)
def test_this_machine_is_reached_without_a_proxy(
    target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    assert not proxy_of(target)
    assert dict(Options("localhost:1").channel_arguments(target))["grpc.enable_http_proxy"] == 0


@pytest.mark.parametrize(
    "target",
    ["ink.example:1", "notlocalhost:1", "192.0.2.1:1", "dns:///ink.example:1", "[2001:db8::1]:1"],
)
def test_another_machine_is_reached_through_the_proxy(
    target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://user:secret@proxy.example:3128")
    assert proxy_of(target).startswith("the proxy proxy.example:3128 that http_proxy names")
    assert dict(Options("localhost:1").channel_arguments(target))["grpc.enable_http_proxy"] == 1


def test_the_first_variable_counts_even_if_it_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://c:3")
    monkeypatch.setenv("https_proxy", "http://b:2")
    assert proxy_of("ink.example:1").startswith("the proxy b:2 that https_proxy names")
    monkeypatch.setenv("grpc_proxy", "")
    assert not proxy_of("ink.example:1")


@pytest.mark.parametrize("value", ["proxy:3128", "https://proxy:3128", "http://", "http://[x", ""])
def test_a_proxy_that_grpc_cannot_use_is_ignored(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", value)
    assert not proxy_of("ink.example:1")


@pytest.mark.parametrize(
    ("no_proxy", "is_direct"),
    [
        ("ink.example", True),
        ("other, .example", True),
        ("*", True),
        ("192.0.2.0/24", False),
        ("ink.example:1", False),
        (",", False),
        ("a/b", False),
    ],
)
def test_no_proxy_can_name_hosts(
    no_proxy: str, is_direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", no_proxy)
    assert (not proxy_of("ink.example:1")) == is_direct


def test_no_proxy_can_name_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "192.0.2.0/24")
    assert not proxy_of("192.0.2.7:1")
    monkeypatch.setenv("no_grpc_proxy", "198.51.100.0/24")
    assert proxy_of("192.0.2.7:1")


@pytest.mark.parametrize(("host", "expected"), [("::1", True), ("127.1.2.3", True), ("", False)])
def test_loopback_addresses_are_recognised(host: str, expected: bool) -> None:
    assert is_loopback(host) == expected
