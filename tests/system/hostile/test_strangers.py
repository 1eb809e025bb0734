"""Callers without a token, and callers that never finish: what a server holds for them, and how long."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from inkstream.v1 import recognition_service_pb2 as pb
from inkstream.v1.recognition_service_pb2_grpc import RecognitionServiceStub
from inkstream_server.access.allowance import Quota
from inkstream_server.access.first_message import REFUSED_SECONDS
from inkstream_server.access.tokens import make
from inkstream_server.errors import MOST_SHOWN
from inkstream_server.rpc.endings import STATUS_SECONDS
from inkstream_server.rpc.health import HEALTH_SECONDS, WATCHES
from inkstream_server.rpc.unary import UNARY_SECONDS

from tests.http2 import CHECK, RECOGNIZE, STREAM, WATCH, call, connected, message
from tests.integration.conftest import RunningServer, running_server
from tests.system.hostile.test_http2 import forget_most_memory, memory_mb
from tests.system.promises import Promises

CONNECTIONS = 100
CONNECTION_MB = 1.0
"""Most that a connection without a token may take; see docs/security.md."""
FLOOD_MB = 4.0
"""The same while a hundred calls of it, with 7 kB of headers each, wait for their turn."""
HALF = bytes(60_000)
"""As much of a message as may be sent before the server asks for more."""
SPARE_SECONDS = 60.0
"""Time in which a busy machine does what the server is asked to do at once."""
REFLECT = b"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
HEADERS = {b"x-%d" % number: b"v" * 120 for number in range(50)}


@dataclass(frozen=True)
class Attack:
    """What each of the connections does, and what of it may last."""

    path: bytes
    calls: int = 10
    sent: bytes | None = HALF
    window: int = 65_535
    extra: dict[bytes, bytes] | None = None
    seconds: float = 0.0
    """When its calls must be over."""
    lasting: int = 0
    """Calls that may stay for longer."""
    connection_mb: float = CONNECTION_MB
    token: bool = False


ATTACKS = {
    "unfinished unary calls": Attack(RECOGNIZE),
    "unfinished unary calls with a token": Attack(
        RECOGNIZE, seconds=UNARY_SECONDS, token=True, connection_mb=2.0
    ),
    "unfinished streams": Attack(STREAM, seconds=REFUSED_SECONDS),
    "unfinished reflection": Attack(REFLECT, seconds=REFUSED_SECONDS),
    "unfinished checks": Attack(CHECK, seconds=HEALTH_SECONDS),
    "checks that are not read": Attack(
        CHECK, sent=b"", window=0, seconds=STATUS_SECONDS, lasting=2
    ),
    "watches": Attack(WATCH, sent=b"", lasting=WATCHES * CONNECTIONS),
    "watches that are not read": Attack(
        WATCH, sent=b"", window=0, seconds=STATUS_SECONDS, lasting=2
    ),
    "headers": Attack(RECOGNIZE, 100, None, extra=HEADERS, connection_mb=FLOOD_MB),
}


@contextmanager
def guarded(folder: Path) -> Iterator[tuple[RunningServer, str]]:
    """A server that wants a token, and a token."""
    token, line = make("friend", Quota())
    (folder / "tokens").write_text(line + "\n")
    with running_server(folder, "--tokens", str(folder / "tokens")) as server:
        yield server, token


@contextmanager
def under(attack: Attack, address: str, token: str) -> Iterator[None]:
    """Attack on all connections, and read what the server sends, while the block runs."""
    extra = {**(attack.extra or {})}
    if attack.token:
        extra[b"authorization"] = b"Bearer " + token.encode()
    with ExitStack() as held:
        peers = [
            held.enter_context(connected(address, window=attack.window)) for _ in range(CONNECTIONS)
        ]
        for peer in peers:
            threading.Thread(target=read_all, args=(peer,), daemon=True).start()
        for stream in range(1, 2 * attack.calls, 2):
            for peer in peers:
                frames = call(stream, attack.path, extra)
                if attack.sent is not None:
                    parts = [
                        attack.sent[at : at + 16_000] for at in range(0, len(attack.sent), 16_000)
                    ]
                    length = 4_000_000 if attack.sent else 0
                    frames += message(stream, parts[0] if parts else b"", length=length)
                    frames += b"".join(more(stream, part) for part in parts[1:])
                peer.sendall(frames)
        yield


def more(stream: int, part: bytes) -> bytes:
    """The next part of a message."""
    return len(part).to_bytes(3) + b"\0\0" + stream.to_bytes(4) + part


def read_all(peer: Any) -> None:
    with suppress(OSError):
        while peer.recv(1 << 16):
            pass


def is_over(server: RunningServer, attack: Attack) -> bool:
    """Whether all calls have come, and all but those that may last have ended."""
    _, service, method = attack.path.decode().split("/")
    labels = {"grpc_service": service, "grpc_method": method}
    page = server.metrics()
    started = page.total("grpc_server_started_total", **labels)
    ended = page.total("grpc_server_handled_total", **labels)
    return started >= CONNECTIONS * attack.calls and started - ended <= attack.lasting


@pytest.mark.parametrize("name", ATTACKS)
async def test_strangers_hold_little_and_not_for_long(
    name: str, tmp_path: Path, promises: Promises
) -> None:
    attack = ATTACKS[name]
    with guarded(tmp_path) as (server, token):
        before = memory_mb(server)
        forget_most_memory(server)
        async with (
            grpc.aio.insecure_channel(server.address) as probe,
            grpc.aio.insecure_channel(
                server.address, [("grpc.use_local_subchannel_pool", 1)]
            ) as own,
        ):
            check: Any = health_pb2_grpc.HealthStub(probe)
            friend: Any = RecognitionServiceStub(own)
            bearer = (("authorization", f"Bearer {token}"),)
            attacking = under(attack, server.address, token)
            await asyncio.to_thread(attacking.__enter__)
            began = monotonic()
            while not is_over(server, attack):
                assert monotonic() < began + attack.seconds + SPARE_SECONDS, "calls do not end"
                assert (await check.Check(health_pb2.HealthCheckRequest())).status == 1
                await friend.GetModel(pb.GetModelRequest(), metadata=bearer)
            seconds = monotonic() - began
            assert (await check.Check(health_pb2.HealthCheckRequest())).status == 1
            await friend.GetModel(pb.GetModelRequest(), metadata=bearer)
            each = (memory_mb(server, "VmHWM") - before) / CONNECTIONS
            attacking.__exit__(None, None, None)
        page = server.metrics()
    refused = page.total("inkstream_refused_calls_total")
    assert each <= attack.connection_mb
    promises.kept(
        f"{CONNECTIONS} connections with {attack.calls} {name}",
        f"at most {attack.connection_mb:g} MB a connection; probes and callers with a token are answered",
        f"{each:.2f} MB a connection at most; over within {seconds:.0f} s; {refused:,.0f} calls refused",
    )


async def test_long_names_of_models_are_not_repeated(tmp_path: Path, promises: Promises) -> None:
    with running_server(tmp_path) as server:
        before = memory_mb(server)
        forget_most_memory(server)
        name = "\u202e\x1b" * 1_000_000
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub: Any = RecognitionServiceStub(channel)
            calls = [stub.GetModel(pb.GetModelRequest(model=name[:1_000_000])) for _ in range(31)]
            for asked in calls:
                assert await asked.code() is grpc.StatusCode.NOT_FOUND
                assert len(await asked.details()) < 3 * MOST_SHOWN
        grown = memory_mb(server, "VmHWM") - before
    # Each message is 2 MB; while it is read it is there as it came, and parsed.
    assert grown <= 31 * 2 * 2 + 48
    promises.kept(
        "31 calls of GetModel with names of 2 MB",
        "errors repeat at most 200 characters",
        f"+{grown} MB at most",
    )
