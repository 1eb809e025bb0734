from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from inkstream import ConnectionFailed, ModelNotFound
from inkstream._connection.channels import Channels
from inkstream._options.client import Options
from inkstream.v1 import recognition_service_pb2 as wire

from tests.patience import PATIENCE_SECONDS
from tests.unit.client.fake_server import FakeServer


@contextmanager
def unused_address() -> Iterator[str]:
    """An address without a listener."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{unused.getsockname()[1]}"


async def asked(channels: Channels, model: str = "") -> str:
    request = wire.GetModelRequest(model=model)
    response: wire.GetModelResponse = await channels.ask("GetModel", request, PATIENCE_SECONDS)
    return response.model.name


def test_targets_take_turns_and_clients_begin_at_different_ones() -> None:
    options = Options(address=["a:1", "b:2", "c:3"])
    begins = set()
    for _ in range(100):
        channels = Channels(options)
        begins.add(channels.address)
        turns = []
        for _ in range(3):
            turns.append(channels.address)
            channels.turn()
        assert sorted(turns) == ["a:1", "b:2", "c:3"]
        assert channels.address == turns[0]
    assert begins == {"a:1", "b:2", "c:3"}


async def test_a_unary_call_goes_to_a_target_that_answers_and_keeps_the_turns(
    fake: FakeServer,
) -> None:
    with unused_address() as away:
        channels = Channels(Options(address=[away, fake.address]))
        for _ in range(2):
            turn = channels.address
            assert await asked(channels) == "digits"
            assert channels.address == turn
            channels.turn()
        await channels.close()


async def test_an_error_that_every_target_would_give_is_taken_from_the_first(
    fake: FakeServer,
) -> None:
    with unused_address() as away:
        channels = Channels(Options(address=[fake.address, away]))
        if channels.address == away:
            channels.turn()
        with pytest.raises(ModelNotFound):
            await asked(channels, "absent")
        await channels.close()


async def test_if_no_target_answers_the_last_error_is_raised() -> None:
    with unused_address() as away, unused_address() as gone:
        channels = Channels(Options(address=[away, gone]))
        with pytest.raises(ConnectionFailed, match="is it running there"):
            await asked(channels)
        await channels.close()
