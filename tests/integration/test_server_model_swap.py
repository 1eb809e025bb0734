from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from inkstream import AsyncClient
from inkstream.v1 import recognition_service_pb2 as pb
from inkstream_server.model_store.store import BUNDLED, pin

from tests.conftest import Mnist
from tests.damage import (
    UNGUARDED,
    Damage,
    circle,
    damage,
    half,
    huge,
    no_weights,
    other_operator,
    wrong_bias,
)
from tests.integration.conftest import RunningServer, StartServer, running_server
from tests.integration.contract import open_stream, stub
from tests.integration.steady import Steady
from tests.integration.writers import Writer, under_load
from tests.patience import eventually


@pytest.fixture
def store(tmp_path: Path) -> Path:
    shutil.copytree(BUNDLED / "digits" / "1", tmp_path / "store" / "digits" / "1")
    return tmp_path / "store"


@pytest.fixture
def unguarded(tmp_path: Path) -> Iterator[StartServer]:
    """Start servers that lack our own check of files, so that LiteRT sees what crashes it."""
    with ExitStack() as running:

        def start(*flags: str) -> RunningServer:
            environment = {**os.environ, "PYTHONPATH": str(UNGUARDED)}
            return running.enter_context(running_server(tmp_path, *flags, environment=environment))

        yield start


def publish(store: Path, version: str, *, of: str, how: Damage | None = None) -> None:
    """Put a bundled version into a store under another number, atomically; optionally damaged."""
    aside = store / f"{version}.part"
    shutil.copytree(BUNDLED / "digits" / of, aside)
    if how is not None:
        damage(aside, how)
    aside.rename(store / "digits" / version)


def served(server: RunningServer) -> str:
    (labels,) = server.metrics().labels("inkstream_model_info")
    return f"{labels['name']}/{labels['version']}"


async def test_swaps_under_load_lose_no_item_and_every_answer_names_its_model(
    start_server: StartServer, store: Path
) -> None:
    server = start_server("--model-store", str(store), "--model-poll", "0.05")
    async with stub(server.address) as service:
        steady = [Steady(await open_stream(service)) for _ in range(4)]
        for each in steady:
            await each.flows()
        publish(store, "2", of="4")
        await eventually("version 2 answers", lambda: served(server) == "digits/2")
        pin(store, "digits", "1")
        await eventually("version 1 answers again", lambda: served(server) == "digits/1")
        pin(store, "digits", None)
        await eventually("version 2 answers again", lambda: served(server) == "digits/2")
        described = (await service.GetModel(pb.GetModelRequest())).model
        late = await open_stream(service)
        for each in steady:
            await each.flows()
            each.stop()
        for each in steady:
            await each.ended()
    assert (described.version, late.answers.responses[0].opened.model.version) == ("2", "2")
    assert described.sha256 == json.loads(described.card_json)["files"]["model.tflite"]["sha256"]
    for each in steady:
        answers = each.stream.answers
        assert answers.order == [*range(each.sent)], "an item was lost, or answered twice"
        versions = [it.model_version for response in answers.responses for it in response.tensors]
        changes = [new for old, new in pairwise(versions) if new != old]
        assert [versions[0], *changes] == ["digits/1", "digits/2", "digits/1", "digits/2"]
    assert server.metrics().value("inkstream_model_swaps_total", outcome="swapped") == 3
    assert server.metrics().value("inkstream_model_swaps_total", outcome="refused") == 0
    assert server.stderr().count("event=model_swapped") == 3


async def test_swaps_under_pens_lose_no_digit_and_every_answer_names_its_model(
    start_server: StartServer, store: Path, mnist: Mnist
) -> None:
    server = start_server("--model-store", str(store), "--model-poll", "0.05")
    images = mnist[0][:8]  # The models give different answers to the next one.
    async with AsyncClient(server.address) as client:
        digits = [result.digit async for result in client.stream(images)]
        writers = [Writer(client, images, digits) for _ in range(2)]

        async def swap() -> AsyncIterator[None]:
            yield
            publish(store, "2", of="4")
            await eventually("version 2 answers", lambda: served(server) == "digits/2")
            yield
            pin(store, "digits", "1")
            await eventually("version 1 answers again", lambda: served(server) == "digits/1")
            yield

        await under_load(writers, swap())
    for writer in writers:
        models = [result.model for result in writer.finals]
        changes = [new for old, new in pairwise(models) if new != old]
        assert [models[0], *changes] == ["digits/1", "digits/2", "digits/1"]


async def test_a_broken_version_is_refused_with_a_reason_and_the_old_one_answers(
    start_server: StartServer, store: Path
) -> None:
    server = start_server("--model-store", str(store), "--model-poll", "0.05")
    publish(store, "2", of="4")
    (store / "digits" / "2" / "model.tflite").write_bytes(b"half of a mod")
    await eventually(
        "the refusal",
        lambda: server.metrics().value("inkstream_model_swaps_total", outcome="refused") == 1,
    )
    async with stub(server.address) as service:
        stream = await open_stream(service)
        await stream.send(sequences=[1], uint8=bytes(784))
        await stream.finish()
    assert stream.answers.responses[0].opened.model.version == "1"
    assert stream.answers.order == [1]
    assert served(server) == "digits/1"
    (line,) = [it for it in server.stderr().splitlines() if "event=model_refused" in it]
    assert "model=digits/2" in line
    assert "sha256" in line


async def test_a_server_whose_newest_version_is_broken_starts_with_the_one_before(
    start_server: StartServer, store: Path
) -> None:
    publish(store, "2", of="4")
    (store / "digits" / "2" / "model.tflite").write_bytes(b"half of a mod")
    server = await asyncio.to_thread(start_server, "--model-store", str(store))
    assert served(server) == "digits/1"
    assert server.metrics().value("inkstream_model_swaps_total", outcome="refused") == 1
    assert server.metrics().value("inkstream_model_refused") == 1
    assert "event=model_refused" in server.stderr()


async def offer_damaged(server: RunningServer, store: Path, ways: Mapping[Damage, str]) -> None:
    """Publish a version for each kind of damage, then a sound one, under traffic; no item may be lost."""

    def is_refused(number: int) -> bool:
        return server.metrics().value("inkstream_model_swaps_total", outcome="refused") == number

    async with stub(server.address) as service:
        steady = [Steady(await open_stream(service)) for _ in range(4)]
        for number, how in enumerate(ways, 1):
            publish(store, str(10 + number), of="4", how=how)
            await eventually(f"{how.__name__} is refused", partial(is_refused, number))
            for each in steady:
                await each.flows()
        assert served(server) == "digits/1"
        publish(store, "20", of="4")
        await eventually("a sound version answers", lambda: served(server) == "digits/20")
        for each in steady:
            await each.flows()
            each.stop()
        for each in steady:
            await each.ended()
    for each in steady:
        answers = each.stream.answers
        assert answers.order == [*range(each.sent)], "an item was lost, or answered twice"
        versions = [it.model_version for response in answers.responses for it in response.tensors]
        changes = [new for old, new in pairwise(versions) if new != old]
        assert [versions[0], *changes] == ["digits/1", "digits/20"]
    lines = [it for it in server.stderr().splitlines() if "event=model_refused" in it]
    for number, (line, word) in enumerate(zip(lines, ways.values(), strict=True), 11):
        assert f"model=digits/{number}" in line
        assert word in line
        assert "export the model again" in line


@pytest.mark.slow
async def test_damaged_files_with_matching_cards_are_refused_and_lose_no_item(
    start_server: StartServer, store: Path
) -> None:
    server = start_server("--model-store", str(store), "--model-poll", "0.05")
    await offer_damaged(
        server,
        store,
        {
            circle: "do not exist",
            no_weights: "do not exist",
            other_operator: "do not exist",
            half: "no plain LiteRT model",
            wrong_bias: "built-in sample",
            huge: "cannot be loaded",
        },
    )


async def test_files_that_crash_the_engine_crash_no_server_and_lose_no_item(
    unguarded: StartServer, store: Path
) -> None:
    server = unguarded("--model-store", str(store), "--model-poll", "0.05")
    await offer_damaged(server, store, {circle: "crashes the engine: the process that tried it"})


async def test_a_version_that_hangs_delays_neither_items_nor_a_drain(
    start_server: StartServer, store: Path
) -> None:
    server = start_server("--model-store", str(store), "--model-poll", "0.05")
    folder = store / "digits" / "2"
    folder.mkdir()
    os.mkfifo(folder / "model.tflite")  # Reading it blocks for ever.
    shutil.copy(BUNDLED / "digits" / "1" / "card.json", folder)

    def is_tried() -> bool:
        return bool(Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text())

    await eventually("version 2 is tried", is_tried)
    async with stub(server.address) as service:
        stream = await open_stream(service)
        await stream.send(sequences=[1], uint8=bytes(784))
        await stream.finish()
    assert stream.answers.order == [1]
    assert is_tried(), "the trial is still under way"
    server.signal()
    assert await asyncio.to_thread(server.wait) == 0
    assert "event=model_refused" not in server.stderr()


async def test_a_server_whose_newest_version_crashes_the_engine_starts_with_the_one_before(
    unguarded: StartServer, store: Path
) -> None:
    publish(store, "2", of="4", how=circle)
    server = await asyncio.to_thread(unguarded, "--model-store", str(store))
    assert served(server) == "digits/1"
    assert "digits/2 crashes the engine" in server.stderr()
