from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inkstream_server.engines import (
    BUCKETS,
    Engine,
    Frames,
    Probabilities,
    bucket_for,
    fill,
)
from inkstream_server.engines.litert import LiteRTEngine
from inkstream_server.model_store.store import BUNDLED

from tests.conftest import Mnist

FOLDER = BUNDLED / "digits" / "1"
NO_TENSORFLOW = "TensorFlow is not installed: pip install -e 'server[keras]'"


def keras_engine(path: Path) -> Engine:
    pytest.importorskip("tensorflow", reason=NO_TENSORFLOW)
    from inkstream_server.engines.keras import KerasEngine

    return KerasEngine(path)


@pytest.fixture(scope="module", params=["litert", "keras"])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "litert":
        return LiteRTEngine(FOLDER / "model.tflite")
    return keras_engine(FOLDER / "model.keras")


def some_frames(rows: int, seed: int = 1) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (rows, 784), dtype=np.uint8)


def in_batches(engine: Engine, frames: Frames) -> Probabilities:
    starts = range(0, len(frames), engine.max_rows)
    return np.concatenate([engine.infer([frames[it : it + engine.max_rows]]) for it in starts])


@pytest.mark.parametrize("name", ["digits", "digits-plain"])
def test_both_engines_agree_on_every_test_image(name: str, mnist: Mnist) -> None:
    images = mnist[0].reshape(-1, 784)
    folder = BUNDLED / name / "1"
    litert = in_batches(LiteRTEngine(folder / "model.tflite"), images)
    keras = in_batches(keras_engine(folder / "model.keras"), images)
    assert litert.shape == keras.shape == (10_000, 10)
    assert (litert.argmax(axis=1) == keras.argmax(axis=1)).all()
    assert np.abs(litert - keras).max() < 1e-5


def test_the_default_model_reaches_the_accuracy_of_its_card(mnist: Mnist) -> None:
    images, labels = mnist
    engine = LiteRTEngine(FOLDER / "model.tflite")
    right = in_batches(engine, images.reshape(-1, 784)).argmax(axis=1) == labels
    assert right.mean() >= 0.992


EDGES = sorted({rows + step for rows in BUCKETS for step in (-1, 0, 1)} & {*range(1, 257)})


def test_a_frame_gets_the_same_answer_in_a_batch_of_any_size(engine: Engine) -> None:
    frames = some_frames(256)
    alone = np.concatenate([engine.infer([frames[row : row + 1]]) for row in range(256)])
    for rows in EDGES:
        together = engine.infer([frames[:rows]])
        assert together.shape == (rows, 10)
        assert together.dtype == np.float32
        np.testing.assert_allclose(together, alone[:rows], atol=1e-5, err_msg=f"{rows} rows")


def test_bytes_and_floats_of_the_same_image_give_the_same(engine: Engine) -> None:
    frames = some_frames(20)
    floats = frames.astype(np.float32) / np.float32(255)
    np.testing.assert_allclose(engine.infer([frames]), engine.infer([floats]), atol=1e-6)


def test_blocks_of_both_kinds_may_share_a_batch(engine: Engine) -> None:
    frames = some_frames(9)
    floats = frames.astype(np.float32) / np.float32(255)
    mixed = engine.infer([frames[:2], floats[2:3], frames[3:7], floats[7:]])
    np.testing.assert_allclose(mixed, engine.infer([frames]), atol=1e-6)


def test_rows_are_probabilities(engine: Engine) -> None:
    probabilities = engine.infer([some_frames(33)])
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_an_answer_is_not_overwritten_by_the_next_batch(engine: Engine) -> None:
    first = engine.infer([some_frames(8, seed=1)])
    kept = first.copy()
    engine.infer([some_frames(8, seed=2)])
    np.testing.assert_array_equal(first, kept)


def test_pixels_stay_those_of_the_batch_until_the_next_one(engine: Engine) -> None:
    frames = some_frames(5)
    floats = frames.astype(np.float32) / np.float32(255)
    batches: list[list[Frames]] = [[frames], [floats], [frames[:2], floats[2:]]]
    for blocks in batches:
        engine.infer(blocks)
        assert engine.pixels.shape == (5, 784)
        np.testing.assert_allclose(engine.pixels, floats, atol=1e-7)


def test_more_than_the_largest_bucket_is_refused(engine: Engine) -> None:
    with pytest.raises(ValueError, match="expected 1 to 256, got 257"):
        engine.infer([some_frames(257)])


@given(st.integers(1, 256))
def test_a_bucket_is_the_smallest_that_holds_the_rows(rows: int) -> None:
    assert bucket_for(rows) == min(bucket for bucket in BUCKETS if bucket >= rows)


@pytest.mark.parametrize("rows", [0, -1, 257])
def test_there_is_no_bucket_for_no_rows_or_too_many(rows: int) -> None:
    with pytest.raises(ValueError, match="expected 1 to 256"):
        bucket_for(rows)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 5), st.booleans()), min_size=1, max_size=8))
def test_blocks_fill_the_input_end_to_end(blocks: list[tuple[int, bool]]) -> None:
    made: list[Frames] = []
    for number, (rows, is_float) in enumerate(blocks):
        frames = some_frames(rows, seed=number)
        made.append(frames.astype(np.float32) / np.float32(255) if is_float else frames)
    total = sum(map(len, made))
    filled = np.full((total + 2, 784), 7, np.float32)
    fill(filled, made)
    wanted = np.concatenate([it / np.float32(255) if it.dtype == np.uint8 else it for it in made])
    np.testing.assert_allclose(filled[:total], wanted, atol=1e-7)
    assert (filled[total:] == 7).all(), "wrote beyond the blocks"


@pytest.fixture(scope="module")
def unfit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of other shapes: `wide` takes 32x32, `narrow` has nine outputs."""
    tf = pytest.importorskip("tensorflow", reason=NO_TENSORFLOW)
    import keras

    folder = tmp_path_factory.mktemp("unfit")

    def export(name: str, side: int, outputs: int) -> None:
        layers: list[Any] = [keras.Input((side, side)), keras.layers.Flatten()]
        model = keras.Sequential([*layers, keras.layers.Dense(outputs, activation="softmax")])
        model.save(folder / f"{name}.keras")
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        (folder / f"{name}.tflite").write_bytes(converter.convert())

    export("wide", 32, 10)
    export("narrow", 28, 9)
    return folder


@pytest.mark.parametrize(("name", "shape"), [("wide", r"n, 32, 32"), ("narrow", r"n, 9\)")])
def test_litert_refuses_a_model_of_other_shapes(unfit: Path, name: str, shape: str) -> None:
    with pytest.raises(ValueError, match=rf"expected .*28, 28.* got .*{shape}"):
        LiteRTEngine(unfit / f"{name}.tflite")


@pytest.mark.parametrize(("name", "shape"), [("wide", "32, 32"), ("narrow", r", 9\)")])
def test_keras_refuses_a_model_of_other_shapes(unfit: Path, name: str, shape: str) -> None:
    with pytest.raises(ValueError, match=rf"expected .*28, 28.* got .*{shape}"):
        keras_engine(unfit / f"{name}.keras")


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match=r"flatbuffer|model"):
        LiteRTEngine(tmp_path / "model")
