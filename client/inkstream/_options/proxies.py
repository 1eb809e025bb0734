"""Finds the HTTP proxy for a target, by gRPC's rules, except that the loopback interface never has one.

gRPC sends even `localhost` through the proxy that the environment names, which cannot reach it.
"""

from __future__ import annotations

import ipaddress
import os
import re
from urllib.parse import urlsplit

_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")
"""The first one that is set counts, in lower case only; an empty value means no proxy."""
_LOCAL = ("unix:", "unix-abstract:", "vsock:")
"""Schemes that stay on the machine."""
_SCHEME = re.compile(r"(ipv4:|ipv6:|dns:)(//[^/]*/)?/*")


def way_to(target: str) -> str:
    """A target for error messages: with the proxy on the way there."""
    return target + (f" through {proxy}" if (proxy := proxy_of(target)) else "")


def proxy_of(target: str) -> str:
    """Describe the proxy to a target by its address, without a password, and its variable; "" for none."""
    if target.startswith(_LOCAL):
        return ""
    variable = next((name for name in _VARIABLES if name in os.environ), "")
    try:
        proxy = urlsplit(os.environ.get(variable, ""))
    except ValueError:
        return ""  # gRPC cannot read it either, and connects directly.
    if proxy.scheme != "http" or not proxy.hostname:
        return ""
    no_proxy = next((name for name in ("no_grpc_proxy", "no_proxy") if name in os.environ), "")
    excepted = os.environ.get(no_proxy, "").split(",")
    hosts = [
        place.strip().rpartition(":")[0].strip("[]").lower()
        for place in _SCHEME.sub("", target, count=1).split(",")
    ]
    if all(is_loopback(host) or _is_listed(host, excepted) for host in hosts):
        return ""
    address = proxy.netloc.rpartition("@")[2]
    return f"the proxy {address} that {variable} names and no_proxy can bypass"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or as an IP address without brackets."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = host.rstrip(".").lower()
        return name in ("localhost", "ip6-localhost") or name.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def _is_listed(host: str, entries: list[str]) -> bool:
    """Whether a host ends with an entry, or is an IP address in a network of one."""
    return any(
        host.endswith(entry.strip().lower()) or entry == "*" or _is_within(host, entry.strip())
        for entry in entries
        if entry
    )


def _is_within(host: str, network: str) -> bool:
    try:
        return "/" in network and ipaddress.ip_address(host) in ipaddress.ip_network(
            network, strict=False
        )
    except ValueError:
        return False
