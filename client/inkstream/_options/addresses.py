"""Turns addresses of servers into gRPC targets, and refuses those that gRPC would misread.

gRPC gives a name without a port port 443, takes a port modulo 65,536, and reports everything else as a
name that it cannot resolve.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from inkstream._exceptions import InvalidRequest

BALANCED = ("ipv4:", "ipv6:", "dns:")
"""Schemes of targets that may stand for several servers, which gRPC balances."""
_OTHERS = ("unix:", "unix-abstract:", "vsock:", "xds:")
"""Schemes whose targets have no host and port."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def targets_of(address: str | Sequence[str]) -> tuple[str, ...]:
    """Give the gRPC targets of an address as `Client` takes it.

    Raises:
        InvalidRequest: it names no target, or one without a host or a port.
    """
    several: Any = address
    if isinstance(address, str):
        # In targets that gRPC balances, commas separate servers of the same target.
        several = [address] if address.startswith(BALANCED) else address.split(",")
    if not isinstance(several, Sequence) or not several or isinstance(several, bytes):
        raise _refused(address, f'write "localhost:{address}"' if isinstance(address, int) else "")
    return tuple([_target(each) for each in several])


def _target(text: Any) -> str:
    if not isinstance(text, str) or not text.strip():
        raise _refused(text)
    target = text.strip()
    scheme = next((it for it in (*BALANCED, *_OTHERS) if target.startswith(it)), "")
    rest = target.removeprefix(scheme)
    if scheme in _OTHERS:
        if not rest.strip("/"):
            raise _refused(text, f'something must follow "{scheme}"')
        return target
    if scheme:
        # Skips an authority, as in dns://1.1.1.1/host:port.
        rest = rest[2:].partition("/")[2] if rest.startswith("//") else rest.lstrip("/")
    elif url := _URL.match(target):
        raise _refused(text, _without(url[0]))
    for each in rest.split(","):
        _require_host_and_port(each.strip(), text)
    return target


def _require_host_and_port(place: str, text: str) -> None:
    host, colon, port = place.rpartition(":")
    if not colon or host.count("[") > host.count("]"):
        raise _refused(text, "add the port; a server listens at 50051 by default")
    if not host:
        raise _refused(text, f'put the host before the colon: "localhost:{port}"')
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise _refused(text, 'put an IPv6 address into brackets: "[::1]:50051"')
    if not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65_535):
        raise _refused(text, "a port is a number from 1 to 65535")


def _without(scheme: str) -> str:
    if scheme.lower() == "https://":
        return f'leave out "{scheme}", and encrypt with `tls` (`--tls`)'
    if scheme.lower() == "http://":
        return f'leave out "{scheme}"'
    return f'gRPC knows no "{scheme}"; it knows "dns:///HOST:PORT" and "unix:PATH"'


def _refused(got: object, advice: str = "") -> InvalidRequest:
    return InvalidRequest(
        f'address: expected HOST:PORT such as "localhost:50051", got {got!r}'
        + (f"; {advice}" if advice else "")
    )
