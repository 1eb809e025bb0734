"""A token file that is cut, emptied, replaced, deleted or swapped for a pipe while streams are open."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest
from inkstream import AsyncClient, ConnectionEvent, ConnectionState
from inkstream.v1 import recognition_service_pb2 as pb
from inkstream_server.access.allowance import Quota
from inkstream_server.access.tokens import make

from tests.conftest import Mnist
from tests.integration.conftest import RunningServer, running_server
from tests.integration.contract import stub
from tests.integration.writers import Writer, under_load
from tests.patience import eventually

CLIENTS = 4
ROUNDS = 1


class TokensOnDisk:
    """The file, and what happens to files: each attack leaves something else in its place for a moment."""

    def __init__(self, path: Path, lines: list[str]) -> None:
        self.path = path
        self.whole = "".join(f"{line}\n" for line in lines)
        self._random = random.Random(7)
        path.write_text(self.whole)

    @property
    def attacks(self) -> list[Callable[[], object]]:
        return [
            self.empty,
            self.cut,
            self.cut_at_a_line,
            self.delete,
            self.swap_for_a_pipe,
            self.spoil,
        ]

    def restore(self) -> None:
        """Put the whole file back, by a rename."""
        whole = self.path.with_suffix(".new")
        whole.write_text(self.whole)
        whole.replace(self.path)

    def empty(self) -> None:
        self.path.write_text("")

    def cut(self) -> None:
        """Leave a part that ends within a digest."""
        line = self._random.choice(self.whole.splitlines())
        at = self.whole.index(line) + line.index(":") + self._random.randrange(1, 60)
        self.path.write_text(self.whole[:at])

    def cut_at_a_line(self) -> None:
        """Leave a file that parses, without most tokens, while it is written: what stands is meant."""
        self.path.write_text(self.whole.partition("\n")[0] + "\n")
        self.path.write_text(self.whole)

    def delete(self) -> None:
        self.path.unlink()

    def swap_for_a_pipe(self) -> None:
        self.path.unlink()
        os.mkfifo(self.path)

    def spoil(self) -> None:
        self.path.write_text(self.whole + "half of a li")


async def is_settled(server: RunningServer) -> bool:
    """Ask whether a refusal is final, which says whether the server has noticed a change."""
    async with stub(server.address) as service:
        try:
            await service.GetModel(
                pb.GetModelRequest(), metadata=(("authorization", "Bearer nobody.x"),)
            )
        except grpc.aio.AioRpcError as refused:
            assert refused.code() is grpc.StatusCode.UNAUTHENTICATED
            return "grpc-retry-pushback-ms" not in dict(refused.trailing_metadata())
    raise AssertionError("a token that nobody has was let in")


async def until(server: RunningServer, *, settled: bool) -> None:
    """Wait until the server has noticed a change, or has made up its mind."""
    while await is_settled(server) is not settled:  # noqa: ASYNC110 (over the network)
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("lasts", ["a moment", "until it is refused"])
async def test_no_state_of_the_token_file_ends_a_stream(
    tmp_path: Path, mnist: Mnist, lasts: str
) -> None:
    made = [make(f"device-{number}", Quota(streams=4)) for number in range(CLIENTS)]
    tokens = TokensOnDisk(tmp_path / "tokens", [line for _, line in made])
    events: list[ConnectionEvent] = []
    images = mnist[0][:8]
    async with AsyncExitStack() as stack:
        server = stack.enter_context(running_server(tmp_path, "--tokens", str(tokens.path)))
        clients = [
            await stack.enter_async_context(
                AsyncClient(
                    server.address, token=token, token_without_tls=True, on_state=events.append
                )
            )
            for token, _ in made
        ]
        digits = [result.digit async for result in clients[0].stream(images)]
        writers = [Writer(client, images, digits) for client in clients]

        async def attack() -> AsyncIterator[None]:
            await until(server, settled=True)
            for _ in range(ROUNDS):
                for harm in tokens.attacks:
                    harm()
                    await until(server, settled=False)
                    if lasts != "a moment" and harm != tokens.cut_at_a_line:
                        await eventually(
                            f"{harm.__name__} is refused",
                            lambda: server.metrics().value("inkstream_tokens_refused") == 1,
                        )
                    tokens.restore()
                    await until(server, settled=True)
                    yield

        async with asyncio.timeout(100):
            await under_load(writers, attack())
    states = [event.state for event in events]
    assert states.count(ConnectionState.OPEN) == CLIENTS, "a stream was lost"
    assert ConnectionState.LOST not in states
    assert "revoked=1" not in server.stderr()
