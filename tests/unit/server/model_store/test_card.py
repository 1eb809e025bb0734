from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inkstream_server.config import BUNDLED
from inkstream_server.engines.form import Form
from inkstream_server.model_store import card as model_card

DIGEST = "0" * 64


@pytest.mark.parametrize("folder", sorted(BUNDLED.glob("*/*")), ids=str)
def test_the_bundled_cards_are_read(folder: object) -> None:
    assert isinstance(folder, type(BUNDLED))
    card = model_card.parse(model_card.read(folder))
    assert card == json.loads((folder / "card.json").read_text())
    assert {*model_card.digests(card), "card.json"} == {file.name for file in folder.iterdir()}


@pytest.mark.parametrize(
    ("text", "expected_text"),
    [
        (b"\xff", "utf-8"),
        (b"{", "Expecting property name"),
        (b'"card"', "expected a JSON object, got str"),
        (b"[" * 100_000, "at most 32 lists and objects"),
        (b'{"a":' * 100_000, "at most 32 lists and objects"),
        (b'{"a":' + b"[" * 32 + b"]" * 32 + b"}", "at most 32 lists and objects"),
        (b'{"a": NaN}', "expected finite numbers, got NaN"),
        (b'{"a": -Infinity}', "expected finite numbers, got -Infinity"),
        (b'{"a": 1e999}', "expected finite numbers, got 1e999"),
        (b'{"a": 1' + b"0" * 100_000 + b"}", "at most 40 digits, got 100001"),
        (b'{"a": 0.' + b"1" * 100_000 + b"}", "at most 40 digits, got 100002"),
        (b'{"a": 1, "a": 2}', "the name 'a' appears twice"),
        (b'{"a": {"b": 1, "c": 2, "b": 3}}', "the name 'b' appears twice"),
    ],
)
def test_what_is_no_plain_json_is_refused_with_a_short_sentence(
    text: bytes, expected_text: str
) -> None:
    with pytest.raises(ValueError) as refused:
        model_card.parse(text)
    assert expected_text in str(refused.value)
    assert len(str(refused.value)) < 300


def test_a_card_as_deep_as_allowed_is_read() -> None:
    assert model_card.parse(b'{"a":' + b"[" * 31 + b"]" * 31 + b"}")


@pytest.mark.parametrize(
    "files",
    [
        None,
        [],
        {"model.tflite": None},
        {"model.tflite": {}},
        {"model.tflite": DIGEST[1:]},
        {"model.tflite": {"sha256": 0}},
        {"model.tflite": DIGEST.replace("0", "A")},
        {"../card.json": DIGEST},
        {"/dev/zero": DIGEST},
        {"..": DIGEST},
        {"": DIGEST},
        {"a\0": DIGEST},
    ],
)
def test_files_without_a_digest_or_outside_of_the_folder_are_refused(files: object) -> None:
    with pytest.raises(ValueError, match=r"^files: "):
        model_card.digests({"files": files})


@given(st.binary(max_size=200) | st.text('[]{},:"aeNI-.0 ', max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    try:
        card = model_card.parse(content)
    except ValueError:
        return
    assert json.loads(content) == card
    assert all(math.isfinite(it) for it in card.values() if isinstance(it, float))


@pytest.mark.parametrize(
    ("card", "form"),
    [
        ({}, Form()),
        ({"output": "probabilities", "input": None}, Form()),
        ({"output": "logits"}, Form(gives_logits=True)),
        ({"image_temperature": 2}, Form(temperature=2.0)),
        ({"input": {"shape": [784], "high": 255}}, Form((784,), 255)),
        (
            {"input": {"shape": [1, 28, 28], "high": 1}, "output": "logits"},
            Form((1, 28, 28), 1, True),
        ),
    ],
)
def test_a_card_states_what_the_network_takes_and_gives(
    card: dict[str, object], form: Form
) -> None:
    assert model_card.form_of(card) == form


@pytest.mark.parametrize(
    ("card", "complaint"),
    [
        ({"output": "sigmoid"}, "output: expected"),
        ({"output": ["logits"]}, "output: expected"),
        ({"input": []}, "input: expected shape and high"),
        ({"input": "flat"}, "input: expected shape and high"),
        ({"input": {"shape": [784]}}, "input: expected shape and high"),
        ({"input": {"shape": 784, "high": 1}}, "input: expected shape and high"),
        ({"input": {"shape": [784.0], "high": 1}}, "input: expected whole numbers"),
        ({"input": {"shape": [784], "high": True}}, "input: expected whole numbers"),
        ({"input": {"shape": [[784]], "high": 1}}, "input: expected whole numbers"),
        ({"input": {"shape": [32, 32], "high": 1}}, "input.shape: expected one of"),
        ({"input": {"shape": [64, 7], "high": 1}}, "input.shape: expected that of an image"),
        ({"input": {"shape": [784], "high": 127}}, "input.high: expected 1 or 255"),
        ({"image_temperature": 0}, "image_temperature: expected 0.01 to 100"),
        ({"image_temperature": "1"}, "image_temperature: expected a number"),
    ],
)
def test_a_card_with_another_form_is_refused(card: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=f"^{complaint}"):
        model_card.form_of(card)
