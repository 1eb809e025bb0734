"""Engines compute networks of every form as Keras does: shapes, ranges, outputs, numbers and batch sizes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from inkstream_server.engines import Engine, litert
from inkstream_server.engines.form import SHAPES, Form, as_probabilities
from inkstream_server.engines.litert import LiteRTEngine
from inkstream_server.engines.tflite_file import require_plain

EXACT, ROUNDED = 1e-5, 0.03
"""Largest difference of a probability: of float32, and of numbers of eight bits."""


@dataclass(frozen=True)
class Network:
    """A Keras network, its two files, and what it computes."""

    model: Any
    form: Form
    keras: Path
    tflite: Path
    tolerance: float

    def expected(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """Give the probabilities of rows (n, columns)."""
        given = rows.reshape(len(rows), *self.form.shape) * np.float32(self.form.high)
        outputs = np.array(self.model(given, training=False))
        if not self.form.gives_logits:
            return outputs
        powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))


FORMS = {
    "images": Form(),
    "channels-last": Form((28, 28, 1), 255, gives_logits=True),
    "channels-first": Form((1, 28, 28), 1, gives_logits=True),
    "flat": Form((784,), 255),
    "traces": Form((64, 7)),
}
KINDS = {**{name: name for name in FORMS}, "bytes": "channels-last", "alone": "flat"}
"""Networks by name, each with the name of its form. "bytes" takes and gives int8, "alone" one row a batch."""


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Network]:
    tf = pytest.importorskip(
        "tensorflow", reason="TensorFlow is missing: pip install -e 'server[keras]'"
    )
    import keras
    from keras import layers

    folder = tmp_path_factory.mktemp("networks")

    def made(name: str, form: Form) -> Network:
        keras.utils.set_random_seed(1)
        size = {"batch_size": 1} if name == "alone" else {}
        end = None if form.gives_logits else "softmax"
        model = keras.Sequential([
            keras.Input(form.shape, **size), layers.Rescaling(1 / form.high), layers.Flatten(),
            layers.Dense(16, activation="relu"), layers.Dense(10, activation=end),
        ])  # fmt: skip
        model.layers[-1].set_weights([3 * it for it in model.layers[-1].get_weights()])
        model.save(folder / f"{name}.keras")
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        if name == "bytes":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            some = rows_of(form, 1000).reshape(1000, 1, *form.shape) * np.float32(form.high)
            converter.representative_dataset = lambda: ([row] for row in some)
            converter.inference_input_type = converter.inference_output_type = tf.int8
        (folder / f"{name}.tflite").write_bytes(converter.convert())
        paths = folder / f"{name}.keras", folder / f"{name}.tflite"
        return Network(model, form, *paths, ROUNDED if name == "bytes" else EXACT)

    return {name: made(name, FORMS[form]) for name, form in KINDS.items()}


def rows_of(form: Form, rows: int) -> npt.NDArray[np.float32]:
    made = np.random.default_rng(rows).random((rows, form.columns), np.float32)
    made[:, ::2] = 0
    return made


def engine_of(network: Network, kind: str) -> Engine:
    if kind == "litert":
        return LiteRTEngine(network.tflite, form=network.form)
    from inkstream_server.engines.keras import KerasEngine

    return KerasEngine(network.keras, form=network.form)


ENGINES = [("litert", name) for name in KINDS] + [("keras", name) for name in FORMS]


@pytest.mark.parametrize(("kind", "name"), ENGINES)
def test_an_engine_answers_as_keras_in_batches_of_any_size(
    networks: dict[str, Network], kind: str, name: str
) -> None:
    network = networks[name]
    engine = engine_of(network, kind)
    for rows in (256, 1, 2, 100, 3):
        given = rows_of(network.form, rows)
        answers = engine.infer([given[:1], given[1:]] if rows > 1 else [given])
        assert answers.shape == (rows, 10)
        assert answers.dtype == np.float32
        np.testing.assert_allclose(answers, network.expected(given), atol=network.tolerance)
        np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(engine.pixels, given, atol=1e-7)


@pytest.mark.parametrize("name", ["channels-last", "bytes", "alone"])
def test_bytes_of_an_image_are_scaled_to_the_range_of_the_network(
    networks: dict[str, Network], name: str
) -> None:
    network = networks[name]
    frames = np.random.default_rng(1).integers(0, 256, (5, 784), dtype=np.uint8)
    floats = frames.astype(np.float32) / np.float32(255)
    answers = LiteRTEngine(network.tflite, form=network.form).infer([frames])
    np.testing.assert_allclose(answers, network.expected(floats), atol=network.tolerance)


@pytest.mark.parametrize("name", ["flat", "bytes", "alone"])
def test_an_answer_is_not_overwritten_by_the_next_batch(
    networks: dict[str, Network], name: str
) -> None:
    engine = engine_of(networks[name], "litert")
    first = engine.infer([rows_of(engine_form(name), 8)])
    kept = first.copy()
    engine.infer([rows_of(engine_form(name), 7)])
    np.testing.assert_array_equal(first, kept)


def engine_form(name: str) -> Form:
    return FORMS[KINDS[name]]


@pytest.mark.parametrize("name", FORMS)
def test_litert_refuses_a_network_of_another_form(networks: dict[str, Network], name: str) -> None:
    for shape in {*SHAPES} - {FORMS[name].shape}:
        wanted = ", ".join(map(str, shape))
        with pytest.raises(ValueError, match=rf"expected input \(n, {wanted}\) .* got"):
            LiteRTEngine(networks[name].tflite, form=Form(shape))


def test_keras_refuses_a_network_of_another_form(networks: dict[str, Network]) -> None:
    from inkstream_server.engines.keras import KerasEngine

    with pytest.raises(ValueError, match=r"expected input \(n, 28, 28\) .* got \(None, 784\)"):
        KerasEngine(networks["flat"].keras)


def test_a_batch_that_takes_long_is_not_for_the_event_loop(
    networks: dict[str, Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("images", "alone"):
        monkeypatch.setattr(litert, "IN_PLACE_SECONDS", 3600)
        assert engine_of(networks[name], "litert").in_place_rows == 256
        monkeypatch.setattr(litert, "IN_PLACE_SECONDS", 0)
        assert engine_of(networks[name], "litert").in_place_rows == 0


def test_a_graph_in_which_the_image_decides_a_shape_is_refused() -> None:
    tf = pytest.importorskip(
        "tensorflow", reason="TensorFlow is missing: pip install -e 'server[keras]'"
    )

    @tf.function(input_signature=[tf.TensorSpec((None, 28, 28), tf.float32)])  # type: ignore[untyped-decorator] # TensorFlow has no types
    def moving(image: Any) -> Any:
        sides = tf.cast(image[0, 0, :2], tf.int32)
        return tf.reduce_sum(tf.reshape(image, sides), axis=1)

    converter = tf.lite.TFLiteConverter.from_concrete_functions([moving.get_concrete_function()])
    with pytest.raises(ValueError, match="makes a tensor whose shape depends on the image"):
        require_plain(converter.convert(), Path("model.tflite"))


@pytest.mark.parametrize(("shape", "high"), [((28, 27), 1), ((28, 28), 2), ((), 1)])
def test_a_form_that_no_engine_knows_is_refused(shape: tuple[int, ...], high: int) -> None:
    with pytest.raises(ValueError, match=r"input\.(shape|high): expected"):
        Form(shape, high)


def test_rounded_probabilities_sum_to_one_again() -> None:
    rows = np.array([[0.5, 0.25, -0.01, *7 * [0.0]], 10 * [0.0]], np.float32)
    expected = np.array([[2 / 3, 1 / 3, *8 * [0.0]], 10 * [0.1]], np.float32)
    np.testing.assert_allclose(as_probabilities(rows, Form()), expected)


def test_large_logits_become_probabilities() -> None:
    rows = np.array([[1e4, 1e4, *8 * [-1e4]]], np.float32)
    expected = np.array([[0.5, 0.5, *8 * [0.0]]], np.float32)
    np.testing.assert_allclose(as_probabilities(rows, Form(gives_logits=True)), expected)


@pytest.mark.parametrize("temperature", [0.01, 0.5, 2.0, 100.0])
def test_a_temperature_divides_logits_and_takes_roots_of_probabilities(temperature: float) -> None:
    logits = np.random.default_rng(1).normal(0, 3, (5, 10)).astype(np.float32)
    powers = np.exp((logits - logits.max(axis=1, keepdims=True)).astype(np.float64) / temperature)
    expected = powers / powers.sum(axis=1, keepdims=True)
    probabilities = as_probabilities(logits.copy(), Form(gives_logits=True))
    for rows, gives_logits in ((logits, True), (probabilities, False)):
        form = Form(gives_logits=gives_logits, temperature=temperature)
        np.testing.assert_allclose(as_probabilities(rows, form), expected, atol=1e-5)


def test_a_fitted_temperature_reaches_the_answers_of_both_engines(
    networks: dict[str, Network],
) -> None:
    from inkstream_server.engines.keras import KerasEngine

    network, form = networks["images"], Form(temperature=2.0)
    given = rows_of(form, 5)
    expected = np.sqrt(network.expected(given))
    expected /= expected.sum(axis=1, keepdims=True)
    litert_engine = LiteRTEngine(network.tflite, form=form)
    for engine in (litert_engine, KerasEngine(network.keras, form=form)):
        np.testing.assert_allclose(engine.infer([given]), expected, atol=EXACT)
    np.testing.assert_allclose(litert_engine.outputs([given]), network.expected(given), atol=EXACT)
