import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from inkstream_training import export as export_module
from inkstream_training.architecture import build_model, predict
from inkstream_training.card import Parity
from inkstream_training.export import (
    ExportError,
    compare,
    describe_files,
    export,
    infer_litert,
    load_keras,
)


@pytest.fixture(scope="module")
def model() -> keras.Sequential:
    keras.utils.set_random_seed(4)
    return build_model()


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (700, 28, 28), np.uint8)


@pytest.fixture(scope="module")
def folder(
    model: keras.Sequential, images: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    export(model, folder, images)
    return folder


def test_both_files_give_the_model_s_probabilities(
    model: keras.Sequential, images: np.ndarray, folder: Path
) -> None:
    expected = predict(model, images)
    np.testing.assert_array_equal(predict(load_keras(folder / "model.keras"), images), expected)
    served = infer_litert(folder / "model.tflite", images)
    np.testing.assert_allclose(served, expected, atol=1e-5)
    np.testing.assert_array_equal(served.argmax(axis=1), expected.argmax(axis=1))


def test_the_keras_file_is_small_and_holds_no_optimizer(folder: Path) -> None:
    assert (folder / "model.keras").stat().st_size < 600_000
    loaded = keras.saving.load_model(folder / "model.keras")
    assert not getattr(loaded, "optimizer", None)
    assert loaded.input_shape == (None, 28, 28)
    with zipfile.ZipFile(folder / "model.keras") as parts:
        assert b"Lambda" not in parts.read("config.json")


def test_the_compiled_file_is_float32_and_accepts_any_batch_size(folder: Path) -> None:
    interpreter = Interpreter(model_path=str(folder / "model.tflite"))
    (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert given["shape_signature"].tolist() == [-1, 28, 28]
    assert made["shape_signature"].tolist() == [-1, 10]
    assert given["dtype"] == made["dtype"] == np.float32
    interpreter.resize_tensor_input(given["index"], [37, 28, 28])
    interpreter.allocate_tensors()
    interpreter.invoke()
    assert interpreter.get_tensor(made["index"]).shape == (37, 10)


def test_the_compiled_file_has_no_operators_that_compute_shapes(folder: Path) -> None:
    interpreter = Interpreter(
        model_path=str(folder / "model.tflite"),
        experimental_op_resolver_type=_without_delegates(),
    )
    names = [op["op_name"] for op in interpreter._get_ops_details()]
    assert names == ["RESHAPE", *["FULLY_CONNECTED"] * 3, "SOFTMAX"]


def _without_delegates() -> object:
    from ai_edge_litert.interpreter import OpResolverType

    return OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES


def test_files_that_disagree_are_not_exported(
    model: keras.Sequential,
    images: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def off(path: Path, images: np.ndarray) -> np.ndarray:
        return infer_litert(path, images) + np.float32(2e-5)

    monkeypatch.setattr(export_module, "infer_litert", off)
    with pytest.raises(ExportError, match=r"within 1e-05, got a difference of 2\.?\d*e-05"):
        export(model, tmp_path, images)


def test_compare_finds_a_differing_answer_and_the_largest_difference() -> None:
    one, other = np.full((2, 10), 0.05), np.full((2, 10), 0.05)
    one[:, 3], other[0, 3], other[1, 4] = 0.55, 0.56, 0.55
    assert compare(one, one) == Parity(True, 0.0)
    assert compare(one, other) == Parity(False, 0.5)


def test_digests_are_those_of_the_files(folder: Path) -> None:
    described = describe_files(folder)
    assert set(described) == {"model.keras", "model.tflite"}
    before = described["model.tflite"]
    assert before.bytes == (folder / "model.tflite").stat().st_size
    assert len(before.sha256) == 64


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="export the model again"):
        load_keras(tmp_path / "model.keras")


def test_a_model_whose_answers_are_not_finite_is_not_exported(
    images: np.ndarray, tmp_path: Path
) -> None:
    broken = build_model()
    broken.set_weights([np.full_like(array, np.nan) for array in broken.get_weights()])
    with pytest.raises(ExportError, match="nan"):
        export(broken, tmp_path, images)
