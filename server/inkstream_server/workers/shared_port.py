"""Reserves a port for workers, even while none of them runs.

While workers listen, so can any other process of the same user that sets SO_REUSEPORT, too, and the kernel
then gives it a part of the connections. Linux allows that only to processes with the effective user id of the
socket that came first, so run the server as a user of its own. Without workers, nobody else can listen.
"""

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from inkstream_server.errors import StartError
from inkstream_server.process.hosts import require_own


@contextmanager
def held(host: str, port: int) -> Iterator[int]:
    """Reserve a port while the block runs, so that sockets with SO_REUSEPORT can share it.

    The port is bound but not listened on, so that no connection arrives here. It is bound without
    SO_REUSEPORT, so that a port that another server shares with its own workers counts as taken.

    Args:
        host: a name or an address; of a name, each address of this machine is reserved.
        port: 0 picks a free one.

    Yields: the port.

    Raises:
        StartError: the port is taken, or `host` is not an address of this machine.
    """
    if not hasattr(socket, "SO_REUSEPORT"):
        raise StartError(
            "workers: on this system only one process can listen on a port: use --workers 1"
        )
    with ExitStack() as sockets:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            absent: OSError | None = None
            taken = 0
            for family, _, _, _, address in found:
                try:
                    holder = _hold(family, (address[0], taken or port, *address[2:]))
                except OSError as error:
                    if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                        raise
                    absent = error
                else:
                    sockets.enter_context(holder)
                    taken = holder.getsockname()[1]
            if not taken and absent is not None:
                raise absent
        except OSError as error:
            require_own(host)
            raise StartError(
                f"port: cannot listen on {host}:{port} ({error.strerror}); another program may hold "
                "it: choose another --port, or 0 for a free one"
            ) from error
        yield taken


def _hold(family: int, address: tuple[object, ...]) -> socket.socket:
    holder = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Ignores connections of a server that has just ended. If it stayed on, others could bind the port.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # `::` includes all IPv4 addresses, as in gRPC's listeners.
            holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
        holder.bind(address)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError:
        holder.close()
        raise
    return holder
