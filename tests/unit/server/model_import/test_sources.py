"""A file becomes a plain copy, or is refused with a sentence that says what to do. Nothing needs Keras."""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from inkstream_server.config import BUNDLED
from inkstream_server.engines.keras_archive import config_of, require_plain
from inkstream_server.model_import.sources import SourceError, read_source

from tests.damage import circle, half

KERAS, TFLITE = (BUNDLED / "digits" / "1" / name for name in ("model.keras", "model.tflite"))


def archive(
    *layers: dict[str, Any], version: str = "3.9.0", packing: int = zipfile.ZIP_STORED, **more: Any
) -> bytes:
    """Make a `.keras` file of these layers; `more` goes into its configuration."""
    config = {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"layers": [*layers]},
        **more,
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", packing) as file:
        file.writestr("config.json", json.dumps(config))
        file.writestr("metadata.json", json.dumps({"keras_version": version}))
        file.writestr("model.weights.h5", b"weights")
    return packed.getvalue()


def layer(name: str, *, module: str | None = "keras.layers", **config: Any) -> dict[str, Any]:
    registered = name if module is None else None
    config = {"name": "my_layer", **config}
    return {
        "module": module, "class_name": name, "config": config, "registered_name": registered,
    }  # fmt: skip


def refusal(tmp_path: Path, content: bytes, name: str = "model.keras") -> str:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError) as refused:
        read_source(tmp_path / name)
    assert str(tmp_path / name) in str(refused.value)
    assert len(str(refused.value)) < 600
    return str(refused.value)


def test_bundled_files_are_read_as_what_they_are() -> None:
    keras, tflite = read_source(KERAS), read_source(TFLITE)
    assert (keras.format, keras.about[:6]) == ("keras", "Keras ")
    assert (tflite.format, tflite.content) == ("tflite", TFLITE.read_bytes())
    require_plain(keras.content, KERAS)


def test_a_file_is_known_by_its_content_and_not_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(KERAS.read_bytes())
    assert read_source(tmp_path / "model.bin").format == "keras"


def test_training_state_is_dropped_from_a_copy(tmp_path: Path) -> None:
    optimizer = {"module": "keras.optimizers", "class_name": "Adam", "config": {}}
    compiled = archive(compile_config={"optimizer": optimizer, "loss": "my_loss"})
    (tmp_path / "model.keras").write_bytes(compiled)
    source = read_source(tmp_path / "model.keras")
    assert "compile_config" not in config_of(source.content, KERAS)
    require_plain(source.content, KERAS)


def test_a_copy_computes_in_float32_for_batches_of_any_size(tmp_path: Path) -> None:
    policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "mixed_float16"}}
    layers = [
        layer("InputLayer", batch_shape=[32, 28, 28], dtype="float16"),
        layer("Dense", dtype=policy) | {"build_config": {"input_shape": [32, 784]}},
        layer("ReLU", dtype="bfloat16"),
    ]
    (tmp_path / "model.keras").write_bytes(archive(*layers))
    config = config_of(read_source(tmp_path / "model.keras").content, KERAS)
    given, dense, relu = config["config"]["layers"]
    assert given["config"] == {
        "name": "my_layer",
        "batch_shape": [None, 28, 28],
        "dtype": "float32",
    }
    assert dense["config"]["dtype"]["config"]["name"] == "float32"
    assert dense["build_config"]["input_shape"] == [None, 784]
    assert relu["config"]["dtype"] == "float32"


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (layer("Lambda"), "layer 'my_layer' is a Lambda, which holds Python code"),
        (layer("MyBlock", module=None), "is of the class MyBlock, which is not part of Keras"),
        (layer("Dense", module="my.layers"), "which is not part of Keras"),
        (layer("system", module="os"), "which is not part of Keras"),
        (layer("LSTM"), r"layer 'my_layer' is recurrent \(LSTM\)"),
        (layer("Bidirectional"), r"is recurrent \(Bidirectional\)"),
        (layer("TFSMLayer"), r"is keras\.layers\.TFSMLayer, which is not part of a plain network"),
        (layer("RandomSharpness"), r"RandomSharpness, which is not part of a plain network .*: leave it out"),
        (layer("get_file", module="keras.utils"), r"keras\.utils\.get_file, which is not part"),
        (layer("Model2", module="keras"), r"keras\.Model2, which is not part"),
        (
            layer("Dense", activation={"module": "builtins", "class_name": "function", "config": "my_act"}),
            "it names the Python function 'my_act', and the file does not hold it: use an activation",
        ),
        (layer("Dense\n\x1b[2J"), r"Dense\\n\\x1b\[2J"),
    ],
)  # fmt: skip
def test_a_class_with_code_or_state_is_named_with_its_layer(
    tmp_path: Path, made: dict[str, Any], sentence: str
) -> None:
    assert re.search(sentence, refusal(tmp_path, archive(layer("Flatten"), made)))


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("model.h5", b"\x89HDF\r\n\x1a\n" + bytes(100), "load it with Keras 3 and save it again"),
        ("model.keras", b"\x89HDF\r\n\x1a\n" + bytes(100), "is an HDF5 file"),
        ("model.pt", b"\x80\x02}q\x00.", "litert_torch.convert"),
        ("model.onnx", b"\x08\x08\x12\x07pytorch", "onnx2tf -i model.onnx"),
        ("frozen.pb", b"\n\x10", "is a graph of TensorFlow"),
        ("model.txt", b"hello", "is neither a .keras file of Keras 3 nor a .tflite file"),
        ("model.keras", b"", "is neither"),
        ("model.keras", archive(version="2.15.0"), "was saved by Keras 2.15.0, and only Keras 3 is read"),
        ("model.keras", archive(packing=zipfile.ZIP_DEFLATED), "config.json is compressed"),
        ("model.keras", KERAS.read_bytes()[:50_000], "is no .keras archive"),
        ("model.tflite", half(TFLITE.read_bytes()), "is no plain LiteRT model"),
        ("model.tflite", circle(TFLITE.read_bytes()), "of which some do not exist"),
    ],
)  # fmt: skip
def test_a_file_of_another_kind_is_refused_with_what_to_do(
    tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    assert sentence in refusal(tmp_path, content, name)


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        (["archive/data.pkl", "archive/version"], "litert_torch.convert"),
        (["word/document.xml"], "is an archive, but no .keras file"),
        (["config.json"], "each once, got"),
    ],
)
def test_another_archive_is_refused(tmp_path: Path, members: list[str], sentence: str) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for member in members:
            file.writestr(member, b"{}")
    assert sentence in refusal(tmp_path, packed.getvalue())


@pytest.mark.parametrize("member", ["metadata.json", "model.weights.h5"])
def test_an_archive_with_a_damaged_member_is_refused(tmp_path: Path, member: str) -> None:
    # Found by `make fuzz`: the check for servers reads only the configuration.
    content = bytearray(archive(layer("Flatten")))
    at = content.index(member.encode()) + len(member)
    content[at : at + 4] = b"\xff" * 4
    assert "is no .keras archive" in refusal(tmp_path, bytes(content))


def test_metadata_that_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("config.json", "{}")
        file.writestr("metadata.json", "[" * 100_000)
        file.writestr("model.weights.h5", b"")
    assert "is no .keras archive" in refusal(tmp_path, packed.getvalue())


def test_a_bomb_is_refused_unopened(tmp_path: Path) -> None:
    bomb = archive(layer("Flatten", note="n" * (65 << 20)), packing=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 1 << 20
    assert "is compressed" in refusal(tmp_path, bomb)


def test_folders_pipes_and_large_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").touch()
    (tmp_path / "other").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", 65 << 20)
    for name, sentence in {
        "saved": "from_saved_model",
        "other": "expected a .keras or .tflite file",
        "pipe": "it is no regular file",
        "large": "it is larger than 67108864 bytes",
        "missing": "No such file",
    }.items():
        with pytest.raises(SourceError, match=sentence):
            read_source(tmp_path / name)


def test_operators_with_code_or_state_are_refused(tmp_path: Path) -> None:
    from tests.unit.server.engines.test_tflite_file import with_operator

    told = refusal(tmp_path, with_operator(32), "model.tflite")
    assert "32 (CUSTOM)" in told
