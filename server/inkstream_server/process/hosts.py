"""Says whether a host is this machine, and whether it is loopback."""

import ipaddress
import socket

from inkstream_server.errors import StartError


def require_own(host: str) -> None:
    """Check that `host` is an address of this machine.

    Raises:
        StartError: no program can listen there on any port.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.bind(address)
    except OSError as error:
        raise StartError(
            f"host: cannot listen on {host} ({error.strerror}): expected an address or a name of this machine"
        ) from error


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach a host: whether all its addresses are loopback."""
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return bool(found) and all(
        ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in found
    )
