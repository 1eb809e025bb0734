"""What a host is to this machine. Knows nothing of gRPC, so that a supervisor may ask."""

import ipaddress
import socket

from inkstream_server.errors import StartError


def require_own(host: str) -> None:
    """Check that this machine has an address.

    Raises:
        StartError: nobody can listen there, whatever the port.
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
    """Tell whether only this machine can reach an address: all that the name stands for is loopback."""
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return bool(found) and all(
        ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in found
    )
