"""A name server with the addresses of a test: as much of DNS as one A record an answer needs."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

_A = 1


class Names(asyncio.DatagramProtocol):
    """Answers every question about IPv4 addresses with `addresses`, and every other with nothing."""

    def __init__(self, addresses: list[str]) -> None:
        self.addresses = addresses
        """The addresses of every name; may change at any time."""
        self.port = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, query: bytes, asker: tuple[str, int]) -> None:
        end = query.index(b"\0", 12) + 5
        (kind,) = struct.unpack_from(">H", query, end - 4)
        found = self.addresses if kind == _A else []
        # A response with recursion available, no error; one question, then the answers.
        response = query[:2] + struct.pack(">5H", 0x8180, 1, len(found), 0, 0) + query[12:end]
        for address in found:
            # The name of the question, with a time to live of 0.
            response += struct.pack(">3HIH", 0xC00C, _A, 1, 0, 4) + socket.inet_aton(address)
        self._transport.sendto(response, asker)


@asynccontextmanager
async def names(*addresses: str) -> AsyncIterator[Names]:
    """Run a name server on a free port while the block lasts."""
    loop = asyncio.get_running_loop()
    transport, serving = await loop.create_datagram_endpoint(
        lambda: Names([*addresses]), local_addr=("127.0.0.1", 0)
    )
    try:
        yield serving
    finally:
        transport.close()
