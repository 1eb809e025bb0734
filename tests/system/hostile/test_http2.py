"""Other clients, and the server, while a peer abuses HTTP/2."""

from __future__ import annotations

import asyncio
import gzip
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import numpy as np
import pytest
from hpack.hpack import encode_integer
from hyperframe.frame import ContinuationFrame, DataFrame, PingFrame, RstStreamFrame
from inkstream.v1 import recognition_service_pb2 as pb

from tests.integration.conftest import RunningServer
from tests.patience import eventually
from tests.system.faults.traffic import Images, traffic
from tests.system.hostile.peer import (
    FRAME_BYTES,
    PREFACE,
    WINDOW_BYTES,
    connected,
    headers,
    message,
)
from tests.system.promises import Promises

Attack = Callable[[str], Counter[str]]

CONFIG = pb.StreamRecognizeRequest(config=pb.StreamConfig()).SerializeToString()
MEMORY_MB = 48
"""Most MB by which the server may have grown after an attack, memory kept by the allocator included."""


def half_frames(address: str) -> Counter[str]:
    """Connections that stop in the middle of a preface, of headers and of a message, and disconnect."""
    whole = headers(1)
    with ExitStack() as held:
        for number in range(300):
            peer = held.enter_context(connected(address, greets=number % 3 > 0))
            if number % 3 == 0:
                peer.send(PREFACE[:12])
            elif number % 3 == 1:
                peer.send(whole[: len(whole) // 2])
            else:
                peer.send(whole, message(1, CONFIG, length=4000))
    return Counter(connections=300)


def wrong_calls(address: str) -> Counter[str]:
    """98 calls of another type, method, path or encoding; gRPC accepts any content type, so 28 just open."""
    wrong = [
        {"content_type": "text/html"},
        {"content_type": ""},
        {"method": "GET"},
        {"path": "/"},
        {"te": "gzip"},
        {"grpc_encoding": "snappy"},
        {"grpc_timeout": "-1"},
    ]
    calls = 98
    with connected(address) as peer:
        for number in range(calls):
            stream = 2 * number + 1
            peer.send(headers(stream, **wrong[number % len(wrong)]), message(stream, CONFIG))
        return peer.listen(70, 5)


def rapid_reset(address: str) -> Counter[str]:
    """10,000 streams, each opened and at once reset."""
    with connected(address) as peer:
        for first in range(1, 20_000, 2000):
            streams = range(first, first + 2000, 2)
            peer.send(b"".join(headers(it) + RstStreamFrame(it, 8).serialize() for it in streams))
        return peer.listen(1, 2)


def endless_headers(address: str) -> Counter[str]:
    """Headers of 256 MB that never end: one HEADERS frame, and CONTINUATION frames after it."""
    size = FRAME_BYTES - 8
    field = (
        b"\0\1a" + encode_integer(size, 7) + bytes(size)
    )  # A literal that HPACK does not put into its table.
    with connected(address) as peer:
        peer.send(headers(1, flags=()))
        flood = ContinuationFrame(1, field).serialize() * 64
        for _ in range(256):
            peer.send(flood)
            if peer.is_disconnected:
                break
        return peer.listen(1, 2)


def slow_drip(address: str) -> Counter[str]:
    """50 streams whose first message comes byte by byte, each in a frame of its own."""
    counts: Counter[str] = Counter()
    prefix = (100_000).to_bytes(5)  # Not compressed, and longer than the bytes that follow.
    with ExitStack() as held:
        peers = [held.enter_context(connected(address)) for _ in range(50)]
        for peer in peers:
            peer.send(headers(1))
        for byte in prefix + CONFIG + bytes(4000):
            for peer in peers:
                peer.send(DataFrame(1, bytes([byte])).serialize())
                peer.listen(1, 0.001)
            if all(peer.responses for peer in peers):
                break
        for peer in peers:
            counts += peer.listen(1, 5)
    return counts


def long_prefixes(address: str) -> Counter[str]:
    """100 messages that say they are 1 GB long."""
    with connected(address) as peer:
        for stream in range(1, 201, 2):
            peer.send(headers(stream), message(stream, bytes(600), length=1 << 30))
        return peer.listen(100, 5)


def gzip_bombs(address: str) -> Counter[str]:
    """20 messages of 58 kB that unpack to 60 MB each, fifteen times what a message may be."""
    bomb = gzip.compress(bytes(60_000_000))
    assert len(bomb) + 5 <= WINDOW_BYTES, "is sent before the server asks for more"
    counts: Counter[str] = Counter()
    with ExitStack() as held:
        peers = [held.enter_context(connected(address)) for _ in range(20)]
        for peer in peers:
            peer.send(headers(1, grpc_encoding="gzip"), message(1, bomb, compressed=True))
        for peer in peers:
            counts += peer.listen(1, 10)
    return counts


def silence(address: str) -> Counter[str]:
    """50 connections that send nothing, or nothing after half a preface."""
    counts: Counter[str] = Counter()
    with ExitStack() as held:
        peers = [held.enter_context(connected(address, greets=False)) for _ in range(50)]
        for peer in peers[::2]:
            peer.send(PREFACE[:12])
        for peer in peers:
            peer.listen(2)  # Settings, and then nothing but the end.
            counts["disconnects"] += peer.is_disconnected
    return counts


def pings(address: str) -> Counter[str]:
    """A thousand pings at once, on a connection without a call."""
    with connected(address) as peer:
        peer.send(b"".join(PingFrame(0, bytes(8)).serialize() for _ in range(1000)))
        responses = peer.listen(2)  # GOAWAY, and then the end.
        assert peer.is_disconnected
        return responses


# The response to each; None if the server need not respond.
ATTACKS: dict[Attack, dict[str, int] | None] = {
    half_frames: None,
    wrong_calls: {"grpc-status 13": 42, "grpc-status 12": 14, "RST_STREAM 2": 14},
    rapid_reset: None,
    endless_headers: {"grpc-status 8": 1},
    slow_drip: {"grpc-status 4": 50},
    long_prefixes: {"grpc-status 8": 100},
    gzip_bombs: {"grpc-status 8": 20},
    silence: {"disconnects": 50},
    pings: {"GOAWAY ENHANCE_YOUR_CALM": 1},
}


def memory_mb(server: RunningServer, what: str = "VmRSS") -> int:
    """Resident memory of the server; `VmHWM` for its peak."""
    lines = Path(f"/proc/{server.pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{what}:"))
    return int(line.split()[1]) // 1024


def forget_most_memory(server: RunningServer) -> None:
    """Reset `VmHWM`."""
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")


def p99_ms(seconds: list[float]) -> str:
    return f"{1000 * float(np.percentile(seconds, 99)):.0f}"


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda it: it.__name__)
async def test_other_clients_lose_no_item_and_the_server_recovers_from_abuse(
    attack: Attack, server: RunningServer, images: Images, promises: Promises
) -> None:
    async with traffic(server.address, images, clients=1) as callers:
        await callers.more(1000)
        before, memory = server.metrics(), memory_mb(server)
        forget_most_memory(server)
        taken = callers.outcomes.seconds
        begun = len(taken)
        responses = await asyncio.to_thread(attack, server.address)
        await callers.more(callers.under_way)  # An attack may be over before one image is answered.
        over, ended = len(taken), monotonic()
        await eventually(
            "as many streams as before",
            lambda: (
                server.metrics().value("inkstream_streams") == before.value("inkstream_streams")
            ),
        )
        await eventually("memory as before", lambda: memory_mb(server) <= memory + MEMORY_MB)
        while monotonic() < ended + 1:  # The recorded p99 is that of a second later.
            await callers.more(100)
        later = len(taken)
        await callers.more(1000)
    assert callers.outcomes.right == callers.outcomes.items
    expected = ATTACKS[attack]
    assert expected in (None, responses)
    counts = ", ".join(f"{count} x {what}" for what, count in responses.items()) or "nothing"
    spans = taken[:begun], taken[begun:over], taken[later:]
    promises.kept(
        (attack.__doc__ or "").strip(),
        "others lose nothing; streams and memory come back",
        f"{counts}; {callers.outcomes.items:,} items of others, all right, p99 "
        f"{', '.join(map(p99_ms, spans))} ms before, during and a second after; memory {memory} MB, "
        f"at most {memory_mb(server, 'VmHWM')}, then {memory_mb(server)}",
    )
