"""The memory of a server whose callers read nothing, or send what costs most memory, beside its limits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from inkstream.v1 import ink_pb2, tensor_pb2
from inkstream.v1 import recognition_service_pb2 as pb
from inkstream_server.config import Config

from tests.integration.conftest import RunningServer, StartServer
from tests.patience import eventually
from tests.system.faults.traffic import Images, traffic
from tests.system.hostile.uploader import Uploader, prefixed, uploading
from tests.system.promises import Promises

CONFIG = pb.StreamRecognizeRequest(config=pb.StreamConfig()).SerializeToString()
MIB = 2**20
STREAM_BYTES = Config().max_stream_memory
STREAMS = 40
SECONDS = 6.0
"""How long an attack sends; before the limits, 200 streams took 6 GB in 14 s."""
BESIDE_BYTES = 64 * MIB
"""What the process may take besides: one message while it is parsed, and what the allocator keeps."""


def images(count: int, first: int, column: str = "uint8") -> bytes:
    pixels = {column: bytes(count * (784 if column == "uint8" else 3136))}
    message = tensor_pb2.Tensors(sequences=range(first, first + count), **pixels)
    return pb.StreamRecognizeRequest(tensors=message).SerializeToString()


def ink(*events: ink_pb2.InkEvent) -> bytes:
    return pb.StreamRecognizeRequest(ink=ink_pb2.InkEvents(events=events)).SerializeToString()


def large_messages(column: str) -> list[bytes]:
    """Messages of 1024 images each."""
    return [images(1024, first, column) for first in range(0, 20 * 1024, 1024)]


def small_messages() -> list[bytes]:
    """Messages of one image each, whose answers wait."""
    return [images(1, first) for first in range(10_000)]


def bad_frames() -> list[bytes]:
    """Messages of a kB with 1,000 images that repeat a number: an error each."""
    same = tensor_pb2.Tensors(sequences=[0] * 1000, uint8=bytes(784 * 1000))
    return [pb.StreamRecognizeRequest(tensors=same).SerializeToString()] * 20


def empty_events() -> list[bytes]:
    """2 million events of 2 bytes in a message of 4 MB, parsed more than 100 MB."""
    return [ink(*[ink_pb2.InkEvent()] * 2_000_000)] * 2


def digits() -> list[bytes]:
    """One digit after the other, whose answers wait."""
    stroke = ink_pb2.Points(dx=[1] * 500, dy=[1] * 500)
    events = [ink_pb2.InkEvent(pen=1, open=ink_pb2.PenOpen())]
    for number in range(1, 2001):
        events += [
            ink_pb2.InkEvent(pen=1, stroke_begin=ink_pb2.StrokeBegin(stroke=number)),
            ink_pb2.InkEvent(pen=1, points=stroke),
            ink_pb2.InkEvent(pen=1, glyph_end=ink_pb2.GlyphEnd()),
        ]
    return [ink(*events[first : first + 300]) for first in range(0, len(events), 300)]


def unfinished_message() -> list[bytes]:
    """A message of 3 MB whose last byte does not come."""
    return [images(1024, 0, "float32")]


# What each stream sends, how many bytes of it, and how it is called in the table.
ATTACKS: dict[str, Callable[[], list[bytes]]] = {
    "images": partial(large_messages, "uint8"),
    "float images": partial(large_messages, "float32"),
    "single images": small_messages,
    "bad images": bad_frames,
    "empty events": empty_events,
    "digits": digits,
    "unfinished messages": unfinished_message,
}


def memory(server: RunningServer, what: str = "VmRSS") -> int:
    """Bytes of resident memory of the server; `VmHWM` for its peak."""
    lines = Path(f"/proc/{server.pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{what}:"))
    return int(line.split()[1]) * 1024


def forget_most_memory(server: RunningServer) -> None:
    """Reset `VmHWM`."""
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")


def send(address: str, bodies: list[bytes], streams: int, seconds: float) -> Uploader:
    """Send on so many streams of one connection, and read no answer."""
    body = prefixed([CONFIG]) + prefixed(bodies)[:-1]
    with uploading(address) as peer:
        peer.run(0.2)  # The server's settings come first.
        for _ in range(streams):
            peer.open(body)
        peer.run(seconds)
    return peer


@pytest.mark.parametrize("attack", ATTACKS)
async def test_streams_take_no_more_than_their_limits(
    attack: str, server: RunningServer, images: Images, promises: Promises
) -> None:
    bodies = ATTACKS[attack]()
    async with traffic(server.address, images, clients=1) as callers:
        await callers.more(200)
        before = memory(server)
        forget_most_memory(server)
        peer = await asyncio.to_thread(send, server.address, bodies, STREAMS, SECONDS)
        most = memory(server, "VmHWM")
        await callers.more(200)
    assert callers.outcomes.right == callers.outcomes.items
    assert most - before <= STREAMS * STREAM_BYTES + BESIDE_BYTES
    await eventually(
        "no more memory than before",
        lambda: memory(server) <= before + BESIDE_BYTES,
    )
    assert server.metrics().total("inkstream_memory_held_bytes") == 0
    promises.kept(
        f"{STREAMS} streams that read nothing send {attack} for {SECONDS:g} s",
        f"at most {STREAM_BYTES // MIB} MiB a stream; others lose nothing",
        f"{peer.sent // MIB} MiB sent; {before // MIB} MiB before, at most {most // MIB}, "
        f"then {memory(server) // MIB}",
    )


def test_calls_whose_first_answer_is_not_read_are_reset(
    start_server: StartServer, promises: Promises
) -> None:
    server = start_server("--stall-timeout", "1")
    with uploading(server.address) as peer:
        peer.run(0.2)
        for _ in range(20):
            peer.open(prefixed([CONFIG]))
        began = time.monotonic()
        # gRPC's accept loop holds the last call until the next one comes.
        while peer.ends["reset"] + peer.ends["status"] < 19:
            peer.run(0.2)
            assert time.monotonic() < began + 60
    assert server.metrics().value("inkstream_streams") == 0
    promises.kept(
        "20 streams with an HTTP/2 window of 0 do not let the server write its first message",
        "they end after --stall-timeout",
        f"19 reset within {time.monotonic() - began:.1f} s, the last by the next call",
    )


async def test_a_process_stays_within_its_limit_and_serves_others(
    start_server: StartServer, images: Images, promises: Promises
) -> None:
    limit = 300 * MIB
    server = start_server("--max-memory", str(limit))
    async with traffic(server.address, images, clients=1) as callers:
        await callers.more(200)
        bodies = unfinished_message()
        peer = await asyncio.to_thread(send, server.address, bodies, 400, SECONDS)
        most = memory(server, "VmHWM")
        await callers.more(200)
    assert callers.outcomes.right == callers.outcomes.items
    ended = server.metrics().value("inkstream_memory_ended_total")
    refused = server.metrics().value("inkstream_memory_refused_total")
    assert ended >= 1
    assert most <= 3 * limit, "without a limit they would hold 1.4 GB"
    promises.kept(
        "400 streams send a message of 3 MB each, and leave out its last byte",
        f"the process stays near its limit of {limit // MIB} MiB; others lose nothing",
        f"{peer.sent // MIB} MiB sent, at most {most // MIB} MiB; {ended:g} streams ended, {refused:g} "
        "refused",
    )
