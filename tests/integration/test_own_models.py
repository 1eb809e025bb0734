"""Networks of every plain kind, made here, are added to a store and then answer as Keras does.

Each is written as people save theirs: compiled or not, trained for a moment or not at all.
"""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from inkstream import AsyncClient
from inkstream.cli.writing.pen_simulator import draw_digits
from inkstream_server.model_import.adding import add
from inkstream_server.model_import.sources import SourceError
from inkstream_server.model_store.store import load_folder

from tests.integration.conftest import StartServer
from tests.patience import eventually

tf = pytest.importorskip(
    "tensorflow", reason="TensorFlow is missing: pip install -e 'server[keras]'"
)

import keras  # noqa: E402 (after the check that it is there)
from keras import layers as L  # noqa: E402, N812 (short, because the networks are lists of layers)

EXACT, HALF, EIGHT_BITS = 1e-4, 2e-3, 0.05
"""Largest difference of a probability: of float32, of weights in float16, and of numbers of eight bits."""

Converter = Any
Configure = Callable[[Converter], None]


@dataclass(frozen=True)
class Case:
    """A network, and how it is saved."""

    make: Callable[[], Any]
    high: int = 1
    is_trained: bool = False
    configure: Configure | None = None
    """How it is converted; None for a `.keras` file."""
    tolerance: float = EXACT


def row(*layers: Any, shape: tuple[int, ...] = (28, 28, 1), **more: Any) -> Callable[[], Any]:
    """Make a network of layers in a row, of which each argument makes one."""
    return lambda: keras.Sequential([keras.Input(shape, **more), *(make() for make in layers)])


def graph(body: Callable[[Any], Any], shape: tuple[int, ...] = (28, 28, 1)) -> Callable[[], Any]:
    """Make a functional network."""

    def make() -> Any:
        given = keras.Input(shape)
        return keras.Model(given, L.Dense(10, activation="softmax")(L.Flatten()(body(given))))

    return make


END = (L.Flatten, lambda: L.Dense(10, activation="softmax"))
LOGITS = (L.Flatten, lambda: L.Dense(10))


def conv(filters: int = 6, **more: Any) -> Callable[[], Any]:
    return lambda: L.Conv2D(filters, 3, **{"activation": "relu", **more})


def residual(given: Any) -> Any:
    start = L.Conv2D(6, 3, strides=2, padding="same", use_bias=False)(given)
    inner = L.ReLU()(L.BatchNormalization()(start))
    inner = L.BatchNormalization()(L.Conv2D(6, 3, padding="same")(inner))
    return L.GlobalAveragePooling2D()(L.Activation("relu")(L.Add()([start, inner])))


def branches(given: Any) -> Any:
    one, two = (L.Conv2D(4, size, padding="same", activation="tanh")(given) for size in (3, 5))
    merged = [
        kind()([one, two]) for kind in (L.Average, L.Maximum, L.Minimum, L.Multiply, L.Subtract)
    ]
    return L.MaxPooling2D(4)(L.Concatenate()([one, *merged]))


def squeezed(given: Any) -> Any:
    wide = L.Conv2D(8, 3, activation="relu")(given)
    weights = L.Dense(8, activation="sigmoid")(
        L.Dense(2, activation="relu")(L.GlobalAveragePooling2D()(wide))
    )
    return L.GlobalMaxPooling2D()(L.Multiply()([wide, L.Reshape((1, 1, 8))(weights)]))


def attentive(given: Any) -> Any:
    patches = L.Reshape((49, 8))(L.Conv2D(8, 4, strides=4)(given))
    normal = L.LayerNormalization()(patches)
    patches = L.Add()([patches, L.MultiHeadAttention(2, 4)(normal, normal)])
    return L.GlobalAveragePooling1D()(L.Dense(8, activation="gelu")(patches))


def arithmetic(given: Any) -> Any:
    scaled = (given / 255.0 - 0.1307) * 3.2
    part = L.Conv2D(4, 3, padding="same")(scaled)[:, 2:-2, ::2]
    return keras.ops.concatenate([keras.ops.relu(part), keras.ops.gelu(part) + 1.0], axis=-1)


def nested() -> Any:
    block = keras.Sequential([keras.Input((28, 28, 1)), conv()(), L.MaxPooling2D(), L.Dropout(0.2)])
    given = keras.Input((28, 28))
    return keras.Model(given, L.Dense(10)(L.Flatten()(block(L.Reshape((28, 28, 1))(given)))))


def mixed() -> Any:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        return row(conv(), *END)()
    finally:
        keras.config.set_dtype_policy(before)


def unbuilt() -> Any:
    return keras.Sequential(
        [L.Flatten(), L.Dense(16, activation="relu"), L.Dense(10, activation="softmax")]
    )


def activations() -> Any:
    names = "relu gelu silu elu selu leaky_relu tanh relu6 softplus softsign mish hard_silu celu sigmoid"
    kinds = [
        L.LeakyReLU,
        L.ELU,
        L.PReLU,
        lambda: L.ReLU(max_value=6.0),
        lambda: L.Activation("exponential"),
    ]
    named = [lambda name=name: L.Activation(name) for name in names.split()]
    return row(lambda: L.Conv2D(3, 5, strides=3), *named, *kinds, *END)()


def dynamic(converter: Converter) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]


def half(converter: Converter) -> None:
    dynamic(converter)
    converter.target_spec.supported_types = [tf.float16]


def eight_bits(kind: Any = None) -> Configure:
    """Compute in eight bits; `kind` is that of input and output, None for float32."""

    def configure(converter: Converter) -> None:
        dynamic(converter)
        images = draw_digits(100, seed=3)[0].reshape(100, 1, 28, 28, 1) / np.float32(255)
        converter.representative_dataset = lambda: ([image] for image in images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        if kind is not None:
            converter.inference_input_type = converter.inference_output_type = kind

    return configure


def plain(converter: Converter) -> None:
    """Leave the converter as it is."""


CNN = row(conv(8), L.MaxPooling2D, conv(8), L.MaxPooling2D, *END)
CASES = {
    "mlp": Case(row(L.Flatten, lambda: L.Dense(32, activation="relu"), *END[1:], shape=(28, 28)), 1, True),
    "cnn": Case(row(conv(8), L.MaxPooling2D, *LOGITS), 255, True),
    "flat": Case(
        row(lambda: L.Rescaling(1 / 255), lambda: L.Dense(32, activation="relu"), *END[1:], shape=(784,)),
        255, True,
    ),
    "first": Case(row(lambda: L.Permute((2, 3, 1)), conv(), *LOGITS, shape=(1, 28, 28)), 1, True),
    "unbuilt": Case(unbuilt, 1, True),
    "lenet": Case(row(
        lambda: L.Resizing(32, 32), lambda: L.Conv2D(6, 5, activation="tanh"), lambda: L.AveragePooling2D(2),
        lambda: L.Conv2D(16, 5, activation="tanh"), lambda: L.AveragePooling2D(2), *END,
    )),
    "residual": Case(graph(residual)),
    "branches": Case(graph(branches)),
    "squeezed": Case(graph(squeezed)),
    "attentive": Case(graph(attentive)),
    "arithmetic": Case(graph(arithmetic), 255),
    "nested": Case(nested),
    "mixed": Case(mixed, tolerance=HALF),
    "activations": Case(activations),
    "separable": Case(row(
        lambda: L.SeparableConv2D(6, 3), L.BatchNormalization,
        lambda: L.DepthwiseConv2D(3, depth_multiplier=2),
        lambda: L.Conv2D(6, 3, dilation_rate=2), lambda: L.GlobalAveragePooling2D(keepdims=True), *LOGITS,
    )),
    "lines": Case(row(
        lambda: L.ZeroPadding1D(1), lambda: L.Conv1D(8, 3, padding="causal"), lambda: L.SeparableConv1D(8, 3),
        lambda: L.DepthwiseConv1D(3), lambda: L.MaxPooling1D(2), lambda: L.UpSampling1D(2),
        lambda: L.Conv1DTranspose(6, 3), lambda: L.Cropping1D(1), lambda: L.AveragePooling1D(2),
        L.GlobalMaxPooling1D, lambda: L.RepeatVector(2), *END, shape=(28, 28),
    )),
    "transposed": Case(row(
        lambda: L.Conv2D(4, 3, strides=2), lambda: L.Conv2DTranspose(4, 3, strides=2, padding="same"),
        lambda: L.UpSampling2D(2, interpolation="bilinear"), lambda: L.Cropping2D(4),
        lambda: L.ZeroPadding2D(1),
        lambda: L.CenterCrop(40, 40), lambda: L.UpSampling2D(2), lambda: L.MaxPooling2D(8), *END,
    )),
    "normalised": Case(row(
        lambda: L.Normalization(mean=0.13, variance=0.1), lambda: L.SpectralNormalization(L.Conv2D(6, 3)),
        lambda: L.GroupNormalization(2), L.LayerNormalization, L.RMSNormalization, L.UnitNormalization, *END,
    )),
    "augmented": Case(row(
        lambda: L.RandomRotation(0.1), lambda: L.RandomZoom(0.1), lambda: L.RandomTranslation(0.1, 0.1),
        L.RandomFlip, lambda: L.RandomContrast(0.1), lambda: L.RandomBrightness(0.1),
        lambda: L.RandomErasing(0.1), lambda: L.GaussianNoise(0.1), conv(), lambda: L.SpatialDropout2D(0.1),
        lambda: L.GaussianDropout(0.1), lambda: L.AlphaDropout(0.1), lambda: L.ActivityRegularization(0.1),
        L.Identity, *END,
    )),
    "batch-of-32": Case(row(conv(), *END, batch_size=32)),
    "log-softmax": Case(row(L.Flatten, lambda: L.Dense(10, activation="log_softmax"))),
    "tflite": Case(CNN, 1, True, plain),
    "tflite-dynamic": Case(CNN, 1, True, dynamic, EIGHT_BITS),
    "tflite-half": Case(CNN, 1, True, half, HALF),
    "tflite-eight-bits": Case(CNN, 1, True, eight_bits(), EIGHT_BITS),
    "tflite-int8": Case(CNN, 1, True, eight_bits(tf.int8), EIGHT_BITS),
    "tflite-uint8": Case(CNN, 1, True, eight_bits(tf.uint8), EIGHT_BITS),
    "tflite-alone": Case(row(conv(8), L.MaxPooling2D, *LOGITS, batch_size=1), 255, True, plain),
    "tflite-alone-first": Case(
        row(lambda: L.Permute((2, 3, 1)), conv(), *LOGITS, shape=(1, 28, 28), batch_size=1), 1, True, dynamic,
        EIGHT_BITS,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Saved:
    """A network in memory and as a file."""

    model: Any
    case: Case
    path: Path

    def expected(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """Give Keras' probabilities of frames (n, 784)."""
        scaled = frames.astype(np.float32) * np.float32(self.case.high / 255)
        outputs = self._outputs(scaled.reshape(-1, *self.model.input_shape[1:]))
        if np.allclose(outputs.sum(axis=1), 1, atol=1e-2) and outputs.min() >= 0:
            return outputs
        powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def _outputs(self, given: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        size = self.model.input_shape[0] or len(given)
        padded = np.concatenate(
            [given, np.zeros((-len(given) % size, *given.shape[1:]), np.float32)]
        )
        made = [
            self.model(padded[at : at + size], training=False).numpy()
            for at in range(0, len(padded), size)
        ]
        return np.concatenate(made)[: len(given)].astype(np.float64)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Saved]:
    """Make a network by its name in `CASES`, once."""
    folder, made = tmp_path_factory.mktemp("networks"), dict[str, Saved]()

    def get(name: str) -> Saved:
        if name not in made:
            made[name] = _save(name, CASES[name], folder)
        return made[name]

    return get


def _save(name: str, case: Case, folder: Path) -> Saved:
    keras.utils.set_random_seed(1)
    model = case.make()
    if case.is_trained:
        _train(model, case.high)
    if case.configure is None:
        path = folder / f"{name}.keras"
        model.save(path)
    else:
        path = folder / f"{name}.tflite"
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        case.configure(converter)
        path.write_bytes(converter.convert())
    return Saved(model, case, path)


def _train(model: Any, high: int) -> None:
    """Train for a second, enough to read drawn digits; leaves an optimizer in the file."""
    images, labels = draw_digits(1600, seed=7)
    shape = model.inputs[0].shape[1:] if model.built else (28, 28)
    size = model.inputs[0].shape[0] if model.built else None
    given = (images * np.float32(high / 255)).reshape(-1, *shape)
    ends = getattr(model.layers[-1], "activation", None)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=ends is keras.activations.linear)
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    if size == 1:
        given, labels = given[:400], labels[:400]
    model.fit(given, labels, epochs=2 if size == 1 else 3, batch_size=size or 32, verbose=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_network_is_added_and_answers_as_keras_does(
    saved: Callable[[str], Saved], tmp_path: Path, name: str
) -> None:
    network = saved(name)
    case = network.case
    added = add(network.path, name, tmp_path, None if case.is_trained else case.high)
    frames = draw_digits(50, seed=9)[0].reshape(50, 784)
    expected = network.expected(frames)
    engines = ["litert", "keras"] if case.configure is None else ["litert"]
    for engine in engines:
        network_of = load_folder(added.folder, engine).images.engine
        for rows in (1, 50):
            answers = network_of.infer([frames[:rows]])
            np.testing.assert_allclose(
                answers, expected[:rows], atol=case.tolerance, err_msg=engine
            )
    card = json.loads((added.folder / "card.json").read_text())
    assert card["input"]["high"] == case.high
    assert {*card["files"]} == {f"model.{'tflite' if it == 'litert' else it}" for it in engines}


async def test_a_running_server_takes_up_a_network_that_is_added(
    saved: Callable[[str], Saved], start_server: StartServer, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    first, second = saved("tflite-int8"), saved("cnn")
    await asyncio.to_thread(add, first.path, "mine", store)
    server = await asyncio.to_thread(
        start_server, "--model", "mine", "--model-store", str(store), "--model-poll", "0.05"
    )
    images = draw_digits(30, seed=9)[0]
    async with AsyncClient(server.address, probabilities=True) as client:

        async def answers(network: Saved) -> None:
            given = [it async for it in client.stream(images)]
            expected = network.expected(images.reshape(30, 784))
            found = np.array([it.probabilities for it in given])
            np.testing.assert_allclose(found, expected, atol=network.case.tolerance)

        await answers(first)
        command = [
            sys.executable, "-m", "inkstream_server", "models", "add", str(second.path), "--name", "mine",
            "--model-store", str(store), "--json",
        ]  # fmt: skip
        ran = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, check=True
        )
        told = json.loads(ran.stdout)
        assert (told["model"], told["high"], told["gives_logits"]) == ("mine/2", 255, True)
        await eventually(
            "version 2 answers",
            lambda: (
                [it["version"] for it in server.metrics().labels("inkstream_model_info")] == ["2"]
            ),
        )
        await answers(second)


def refusal(path: Path, folder: Path, pixels: int | None = 1) -> str:
    with pytest.raises(SourceError) as refused:
        add(path, None, folder / "store", pixels)
    assert not (folder / "store").exists()
    assert str(path) in str(refused.value)
    assert len(str(refused.value)) < 800
    return str(refused.value)


class Block(L.Layer):  # type: ignore[misc] # Keras has no types
    """A layer whose code no server has."""

    def call(self, given: Any) -> Any:
        return given


def doubled(given: Any) -> Any:
    """An activation whose code no server has."""
    return given * 2


REFUSED = {
    "lambda": (row(lambda: L.Lambda(lambda it: it * 2), *END), "is a Lambda, which holds Python code"),
    "custom-layer": (row(Block, *END), "is of the class Block, which is not part of Keras"),
    "custom-activation": (row(conv(activation=doubled), *END), "the Python function 'doubled'"),
    "recurrent": (row(lambda: L.LSTM(8), *END, shape=(28, 28)), "is recurrent (LSTM)"),
    "eleven": (row(L.Flatten, lambda: L.Dense(11, activation="softmax")), "shape (n, 11)"),
    "large": (row(L.Flatten, lambda: L.Dense(10), shape=(32, 32)), "shape (n, 32, 32)"),
    "colour": (row(L.Flatten, lambda: L.Dense(10), shape=(28, 28, 3)), "with one channel"),
    "sigmoid": (row(L.Flatten, lambda: L.Dense(10, activation="sigmoid")), "as after a sigmoid"),
    "two-inputs": (
        lambda: keras.Model(
            two := [keras.Input((28, 28)), keras.Input((28, 28))],
            L.Dense(10)(L.Flatten()(L.Add()(two))),
        ),
        "one input and one output, got 2 and 1",
    ),
    "untrained": (row(*END), "cannot be told: add --pixels"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_a_network_that_cannot_be_served_is_refused_with_a_sentence(
    tmp_path: Path, name: str
) -> None:
    make, sentence = REFUSED[name]
    make().save(tmp_path / f"{name}.keras")
    told = refusal(tmp_path / f"{name}.keras", tmp_path, None if name == "untrained" else 1)
    assert sentence in told


@pytest.mark.slow
def test_other_formats_and_damaged_files_are_refused_with_a_sentence(tmp_path: Path) -> None:
    model = row(*END)()
    model.save(tmp_path / "model.h5")
    model.export(tmp_path / "exported", verbose=False)
    model.save(tmp_path / "model.keras")
    content = (tmp_path / "model.keras").read_bytes()
    (tmp_path / "truncated.keras").write_bytes(content[: len(content) // 2])
    (tmp_path / "weights.keras").write_bytes(_with_weights(content, b"no weights"))
    (tmp_path / "bomb.keras").write_bytes(_packed(content))
    for name, sentence in {
        "model.h5": "load it with Keras 3 and save it again",
        "exported": "is a SavedModel. Convert it",
        "truncated.keras": "is no .keras archive",
        "weights.keras": "cannot load it",
        "bomb.keras": "is compressed",
    }.items():
        assert sentence in refusal(tmp_path / name, tmp_path), name


def _with_weights(content: bytes, weights: bytes) -> bytes:
    """Put other weights into a `.keras` file."""
    return _rewritten(content, {"model.weights.h5": weights}, zipfile.ZIP_STORED)


def _packed(content: bytes) -> bytes:
    """Make a `.keras` file that unpacks to 65 MB."""
    return _rewritten(content, {"model.weights.h5": bytes(65 << 20)}, zipfile.ZIP_DEFLATED)


def _rewritten(content: bytes, changes: dict[str, bytes], packing: int) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(packed, "w", packing) as new:
        for member in old.namelist():
            new.writestr(member, changes.get(member, old.read(member)))
    return packed.getvalue()
