from pathlib import Path

import keras
import numpy as np
import pytest
from inkstream_training.export import (
    STROKES_KERAS_FILE,
    STROKES_LITERT_FILE,
    ExportError,
    export_strokes,
    infer_strokes,
    load_keras,
)
from inkstream_training.strokes import architecture
from inkstream_training.strokes.architecture import build_network, build_served, outputs


@pytest.fixture(scope="module")
def network() -> keras.Model:
    """A network whose normalisations are not those of a new one."""
    keras.utils.set_random_seed(3)
    rng = np.random.default_rng(3)
    made = build_network()
    for layer in made.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, it.shape) for it in layer.get_weights()])
    return made


@pytest.fixture(scope="module")
def traces() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (300, 64, 7)).astype(np.float32)


def test_the_network_is_as_small_as_its_card_says(network: keras.Model) -> None:
    assert network.count_params() == 106_458
    assert (network.input_shape, network.output_shape) == ((None, 64, 7), (None, 10))


def test_both_files_give_the_network_s_probabilities(
    network: keras.Model, traces: np.ndarray, tmp_path: Path
) -> None:
    parity = export_strokes(network, 1.7, tmp_path, traces)
    assert parity.same_answers
    logits = outputs(network, traces) / 1.7
    expected = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected /= expected.sum(axis=1, keepdims=True)
    served = infer_strokes(tmp_path / STROKES_LITERT_FILE, traces)
    np.testing.assert_allclose(served, expected, atol=1e-5)
    loaded = outputs(load_keras(tmp_path / STROKES_KERAS_FILE), traces)
    np.testing.assert_allclose(loaded, expected, atol=1e-5)
    assert (tmp_path / STROKES_LITERT_FILE).stat().st_size < 500_000


def test_files_that_disagree_are_not_exported(
    network: keras.Model, traces: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(architecture, "_EPSILON", 0.5)
    with pytest.raises(
        ExportError, match=r"strokes\.tflite: expected the answers of strokes\.keras"
    ):
        export_strokes(network, 1.0, tmp_path, traces)


def test_a_temperature_changes_no_answer(network: keras.Model, traces: np.ndarray) -> None:
    cold, hot = (outputs(build_served(network, it), traces) for it in (0.5, 2.0))
    np.testing.assert_array_equal(cold.argmax(axis=1), hot.argmax(axis=1))
    assert (cold.max(axis=1) > hot.max(axis=1)).all()
