from __future__ import annotations

import re
import struct
from contextlib import suppress
from pathlib import Path

import flatbuffers
import pytest
from ai_edge_litert.schema_py_generated import BuiltinOperator, Model, ModelT
from hypothesis import given
from hypothesis import strategies as st
from inkstream_server.engines import tflite_file
from inkstream_server.engines.tflite_file import OPERATORS, require_plain
from inkstream_server.model_store.store import BUNDLED

from tests.damage import Damage, circle, no_weights, other_operator

FILE = BUNDLED / "digits" / "1" / "model.tflite"
SOUND = FILE.read_bytes()
CUSTOM, CALL_ONCE, RANK = (32, "32 (CUSTOM)"), (129, "129 (CALL_ONCE)"), (110, "110")


def with_operator(number: int) -> bytes:
    """Change the first kind of operator."""
    code = Model.GetRootAs(SOUND, 0).OperatorCodes(0)._tab
    at = code.Pos + code.Offset(10)
    return SOUND[:at] + struct.pack("<i", number) + SOUND[at + 4 :]


def twice(content: bytes) -> bytes:
    """Let the last operator write the tensor of the one before it."""
    last = Model.GetRootAs(content, 0).Subgraphs(0).Operators(4)
    at = last._tab.Vector(last._tab.Offset(8))
    return content[:at] + struct.pack("<i", last.Inputs(0)) + content[at + 4 :]


@pytest.mark.parametrize("file", sorted(BUNDLED.glob("*/*/model.tflite")))
def test_the_bundled_models_pass_the_check(file: Path) -> None:
    require_plain(file.read_bytes(), file)


def test_operators_have_the_numbers_of_the_schema() -> None:
    assert {name: getattr(BuiltinOperator, name) for name in OPERATORS} == OPERATORS


def test_compiled_plain_layers_pass_the_check() -> None:
    tf = pytest.importorskip(
        "tensorflow", reason="TensorFlow is not installed: pip install -e 'server[keras]'"
    )
    from keras import Input, Sequential, layers

    activations = ["gelu", "silu", "elu", "selu", "tanh", "sigmoid", "leaky_relu", "hard_silu"]
    activations += ["relu6", "hard_sigmoid", "softplus", "softsign", "mish", "celu", "log_softmax"]
    network = Sequential([
        Input((28, 28)), layers.Rescaling(2.0), layers.Reshape((28, 28, 1)), layers.ZeroPadding2D(),
        layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU(), layers.Dropout(0.1),
        layers.MaxPooling2D(2), layers.SeparableConv2D(4, 3), layers.DepthwiseConv2D(3),
        layers.AveragePooling2D(2), layers.Conv2D(4, 3, dilation_rate=2, padding="same"),
        *map(layers.Activation, activations), layers.GlobalMaxPooling2D(keepdims=True), layers.Flatten(),
        layers.Dense(10), layers.Softmax(),
    ])  # fmt: skip
    require_plain(tf.lite.TFLiteConverter.from_keras_model(network).convert(), FILE)


@pytest.mark.parametrize(("number", "named"), [CUSTOM, CALL_ONCE, RANK])
def test_an_operator_that_is_not_on_the_list_is_named(number: int, named: str) -> None:
    with pytest.raises(
        ValueError,
        match=rf"model\.tflite: the operators .* {re.escape(named)} in the schema are not part",
    ):
        require_plain(with_operator(number), FILE)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "identifier: expected b'TFL3', got b''"),
        (b"not a model", "identifier: expected b'TFL3', got b'a mo'"),
        (SOUND[:4] + b"TFL4" + SOUND[8:], "identifier"),
        (SOUND[: len(SOUND) // 2], "is no plain LiteRT model"),
        (SOUND[:8], "is no plain LiteRT model"),
    ],
)
def test_a_file_without_a_model_is_refused(content: bytes, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        require_plain(content, FILE)


def with_tensor(field: int, value: int) -> bytes:
    """Change a field of one tensor, in a model that is written anew."""
    model = ModelT.InitFromObj(Model.GetRootAs(SOUND, 0))
    for tensor in model.subgraphs[0].tensors[3:4]:
        setattr(tensor, {1: "type", 5: "isVariable"}[field], value)
    builder = flatbuffers.Builder(len(SOUND))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize(
    ("field", "value"), [(1, 5), (1, 13), (5, 1)], ids=["text", "state", "variable"]
)
def test_a_tensor_that_is_not_of_numbers_or_a_variable_is_refused(field: int, value: int) -> None:
    # Found by `tests.fuzz.tflite_graph`: LiteRT crashes where a kernel writes numbers into texts.
    with pytest.raises(ValueError, match="tensor 3 is a variable, or not of numbers"):
        require_plain(with_tensor(field, value), FILE)


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        (other_operator, r"operator 0 reads tensors \[0, 7\], of which some do not exist"),
        (no_weights, r"operator 1 reads tensors \[8, -1, 2\], of which some do not exist"),
        (circle, r"operator 3 reads tensors \[10, 4, 3\], of which some do not exist"),
        (twice, r"operator 4 writes tensors \[11\], expected a new one"),
    ],
)
def test_a_graph_that_would_crash_the_engine_is_refused(how: Damage, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        require_plain(how(SOUND), FILE)


def test_a_layer_may_leave_out_its_bias() -> None:
    dense = Model.GetRootAs(SOUND, 0).Subgraphs(0).Operators(1)._tab
    at = dense.Vector(dense.Offset(6)) + 8
    require_plain(SOUND[:at] + struct.pack("<i", -1) + SOUND[at + 4 :], FILE)


def test_a_file_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tflite_file, "MOST_BYTES", 1000)
    with pytest.raises(ValueError, match=f"expected at most 1000 bytes, got {len(SOUND)}"):
        require_plain(SOUND, FILE)


@given(
    st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.integers(0, 255)), max_size=8), st.data()
)
def test_any_bytes_are_accepted_or_refused(
    changes: list[tuple[int, int]], data: st.DataObject
) -> None:
    changed = bytearray(SOUND[: data.draw(st.integers(0, len(SOUND)))])
    for at, value in changes:
        changed[at : at + 1] = bytes([value])
    with suppress(ValueError):
        require_plain(bytes(changed), FILE)
