"""A server whose model has two networks answers ink with both, and images with one."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from inkstream import AsyncClient
from inkstream.v1 import ink_pb2
from inkstream.v1 import recognition_service_pb2 as pb
from inkstream_server.confidence.product import product
from inkstream_server.confidence.rejection import tempered
from inkstream_server.engines.form import TRACES
from inkstream_server.engines.litert import LiteRTEngine
from inkstream_server.ink import model_inputs
from inkstream_server.model_store.store import BUNDLED, load_folder, pin

from tests.conftest import Mnist
from tests.integration.conftest import RunningServer, StartServer
from tests.integration.contract import open_stream, recognize_all, stub
from tests.integration.test_server_ink import finals, send_ink
from tests.integration.writers import SEVEN, Writer, under_load
from tests.pairs import add_strokes, remove_strokes
from tests.patience import eventually
from tests.unit.server.pens.events import ended, moved, opened, stroke

BAR = [(14, 24), (30, 25)]
GLYPHS = [[np.array(SEVEN)], [np.array(SEVEN), np.array(BAR)], [np.array(SEVEN)[::-1]]]
"""A seven, one with a bar, and one that is written from its end, which only strokes tell apart."""


Strokes = Sequence[npt.NDArray[np.int64]]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with digits/1, which has one network."""
    folder = tmp_path / "store" / "digits" / "1"
    shutil.copytree(BUNDLED / "digits" / "4", folder)
    remove_strokes(folder)
    return tmp_path / "store"


def publish_pair(store: Path, version: str, seed: int = 1) -> Path:
    """Publish a version with two networks at once."""
    aside = store / f"{version}.part"
    shutil.copytree(BUNDLED / "digits" / "4", aside)
    remove_strokes(aside)
    add_strokes(aside, seed=seed)
    return aside.rename(store / "digits" / version)


def offline(folder: Path, strokes: Strokes) -> npt.NDArray[np.float32]:
    """The probabilities of a glyph that the engines of a version give without a server."""
    inputs = model_inputs(strokes, y_up=False)
    assert inputs is not None
    model = load_folder(folder)
    (drawn,) = model.images.engine.infer([inputs[0].reshape(1, -1)])
    if model.ink.kind == "image":
        return tempered(drawn, model.images.rule.ink_temperature)
    weights = json.loads(model.card_json)["strokes"]
    engine = LiteRTEngine(folder / "strokes.tflite", form=TRACES)
    (written,) = engine.infer([inputs[1].reshape(1, -1)])
    return product(drawn, written, weights["image_weight"], weights["strokes_weight"])


async def recognize(service: Any, glyph: Strokes) -> ink_pb2.GlyphResult:
    """Have a glyph recognised by a unary call, with all probabilities."""
    request = pb.RecognizeRequest(
        ink=ink_pb2.Ink(strokes=[moved(points).points for points in glyph]),
        answers={"probabilities": True},
    )
    answer: ink_pb2.GlyphResult = (await service.Recognize(request)).glyph
    return answer


def served(server: RunningServer) -> str:
    (labels,) = server.metrics().labels("inkstream_model_info")
    return f"{labels['name']}/{labels['version']}"


async def test_ink_is_answered_by_both_networks_and_images_by_one(
    start_server: StartServer, store: Path, mnist: Mnist
) -> None:
    folder = publish_pair(store, "2")
    server = start_server("--model-store", str(store))
    async with stub(server.address) as service:
        stream = await open_stream(service)
        for pen, glyph in enumerate(GLYPHS):
            events = [opened(pen)]
            for number, points in enumerate(glyph, 1):
                events += stroke(number, points, pen=pen)
            await send_ink(stream, [*events, ended(pen)])
        await stream.finish()
        unary = [await recognize(service, glyph) for glyph in GLYPHS]
    images = mnist[0][:64].reshape(-1, 784)
    answers = await recognize_all(server.address, images)
    by_pen = {it.pen: it for it in finals(stream)}
    expected = [offline(folder, glyph) for glyph in GLYPHS]
    assert abs(expected[0] - expected[2]).max() > 0.01, "the networks do not tell the order apart"
    for pen, row in enumerate(expected):
        for found in (by_pen[pen], unary[pen]):
            assert (found.digit, found.model_version) == (int(row.argmax()), "digits/2")
            assert found.confidence == pytest.approx(row.max(), abs=1e-5)
        listed = {it.digit: it.confidence for it in unary[pen].alternatives}
        np.testing.assert_allclose([listed[digit] for digit in range(10)], row, atol=1e-5)
    model = load_folder(folder)
    assert [*answers.digits.values()] == model.images.engine.infer([images]).argmax(1).tolist()
    metrics = server.metrics()
    glyphs = metrics.value("inkstream_batch_size_sum", network="strokes")
    assert glyphs >= 2 * len(GLYPHS)  # Provisional answers, too.
    assert metrics.value("inkstream_batch_size_sum", network="image") == 64
    assert metrics.value("inkstream_queue_seconds_count") == 64 + glyphs
    assert metrics.total("inkstream_predictions_total") == 64 + glyphs
    assert metrics.value("inkstream_items_total", kind="ink", outcome="ok") == 2 * len(GLYPHS)


async def test_swaps_from_one_network_to_two_and_back_mix_no_versions(
    start_server: StartServer, store: Path, mnist: Mnist
) -> None:
    server = start_server("--model-store", str(store), "--model-poll", "0.05")
    images = mnist[0][:8]
    async with AsyncClient(server.address) as client:
        digits = [result.digit async for result in client.stream(images)]
        writers = [Writer(client, images, digits) for _ in range(3)]

        async def swap() -> AsyncIterator[None]:
            yield
            for version in ("2", "3"):
                publish_pair(store, version, seed=int(version))
                await eventually("it answers", lambda: served(server) == f"digits/{version}")  # noqa: B023 (called at once)
                yield
            pin(store, "digits", "1")
            await eventually("version 1 answers again", lambda: served(server) == "digits/1")
            yield

        await under_load(writers, swap())
    expected = {
        (f"digits/{version}", strokes): offline(
            store / "digits" / version, GLYPHS[strokes - 1]
        ).max()
        for version in "123"
        for strokes in (1, 2)
    }
    assert len({round(float(it), 4) for it in expected.values()}) == 6
    for writer in writers:
        models = [result.model for result in writer.finals]
        changes = [new for old, new in pairwise(models) if new != old]
        assert [models[0], *changes] == ["digits/1", "digits/2", "digits/3", "digits/1"]
        for result in writer.finals:
            wanted = expected[result.model, len(result.strokes)]
            assert result.confidence == pytest.approx(wanted, abs=1e-5)


async def test_a_version_whose_network_for_strokes_is_broken_is_refused_and_the_old_one_answers(
    start_server: StartServer, store: Path
) -> None:
    publish_pair(store, "2")
    server = start_server("--model-store", str(store), "--model-poll", "0.05")
    assert served(server) == "digits/2"
    aside = store / "3.part"
    shutil.copytree(store / "digits" / "2", aside)
    content = (aside / "strokes.tflite").read_bytes()[:-9000]
    (aside / "strokes.tflite").write_bytes(content)
    card = json.loads((aside / "card.json").read_text())
    card["files"]["strokes.tflite"]["sha256"] = hashlib.sha256(content).hexdigest()
    (aside / "card.json").write_text(json.dumps(card))
    aside.rename(store / "digits" / "3")
    await eventually(
        "the refusal",
        lambda: server.metrics().value("inkstream_model_swaps_total", outcome="refused") == 1,
    )
    async with stub(server.address) as service:
        stream = await open_stream(service)
        await send_ink(stream, [opened(1), *stroke(1, pen=1), ended(1)])
        await stream.finish()
    assert {it.model_version for it in finals(stream)} == {"digits/2"}
    (line,) = [it for it in server.stderr().splitlines() if "event=model_refused" in it]
    assert "model=digits/3" in line
    assert "strokes.tflite" in line
