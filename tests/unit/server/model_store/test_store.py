from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inkstream_server import config
from inkstream_server.confidence.product import product
from inkstream_server.engines.form import TRACES
from inkstream_server.engines.litert import LiteRTEngine
from inkstream_server.model_store import card as model_card
from inkstream_server.model_store import sample as model_sample
from inkstream_server.model_store import store as model_store
from inkstream_server.model_store.pair import rows_of
from inkstream_server.model_store.store import BUNDLED, ModelError, find, load, load_folder

from tests.pairs import add_strokes


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with digits/1, digits/2 and digits/10, the last with the real model's file."""
    for version in ("1", "2", "10"):
        folder = tmp_path / "digits" / version
        shutil.copytree(BUNDLED / "digits" / "1", folder)
    return tmp_path


def test_the_newest_version_is_served_if_none_is_named(store: Path) -> None:
    assert find(store, "digits").name == "10"
    model = load(store, "digits")
    assert (model.name, model.version, model.label) == ("digits", "10", "digits/10")


def test_a_named_version_is_served(store: Path) -> None:
    assert find(store, "digits/2").name == "2"


def test_versions_without_a_number_sort_before_numbers(store: Path) -> None:
    shutil.copytree(store / "digits" / "1", store / "digits" / "candidate")
    assert find(store, "digits").name == "10"
    assert find(store, "digits/candidate").name == "candidate"


@pytest.mark.parametrize("wanted", ["letters", "digits/3", "", "/", "*", "digits/*", "digits/1/2"])
def test_an_unknown_model_is_refused_with_a_list_of_all(store: Path, wanted: str) -> None:
    with pytest.raises(ModelError, match=r"digits/1, digits/2, digits/10") as failure:
        find(store, wanted)
    assert repr(wanted) in str(failure.value)


def test_an_empty_store_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there are none"):
        find(tmp_path / "nowhere", "digits")


def test_a_tampered_file_is_refused(store: Path) -> None:
    file = store / "digits" / "10" / "model.tflite"
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.tflite: sha256 is .* its card says"):
        load(store, "digits")


def test_a_model_without_a_card_is_not_served(store: Path) -> None:
    for version in ("1", "2", "10"):
        (store / "digits" / version / "card.json").unlink()
    with pytest.raises(ModelError, match="there are none"):
        load(store, "digits")


def test_a_card_without_its_file_says_which(store: Path) -> None:
    (store / "digits" / "10" / "model.tflite").unlink()
    with pytest.raises(ModelError, match=r"model\.tflite: No such file"):
        load(store, "digits")


@pytest.mark.parametrize(
    ("card", "expected_text"),
    [
        ("{}", "files: expected"),
        ('{"files": {}}', "has no sha256 for model.tflite"),
        ('{"files": {"model.tflite": {}}}', "has no sha256 for 'model.tflite'"),
        ("no json", "Expecting value"),
        ("[]", "expected a JSON object, got list"),
        ("[" * 100_000, "at most 32 lists and objects within each other"),
        (json.dumps({"name": "n" * 131_072}), "it is larger than 131072 bytes"),
    ],
)
def test_a_card_that_cannot_be_used_is_refused_with_the_reason(
    store: Path, card: str, expected_text: str
) -> None:
    (store / "digits" / "10" / "card.json").write_text(card)
    with pytest.raises(ModelError, match=re.escape(expected_text)) as refused:
        load(store, "digits")
    assert "digits/10" in str(refused.value)
    assert len(str(refused.value)) < 500


def test_a_file_that_is_no_model_is_refused_by_name(store: Path) -> None:
    folder = store / "digits" / "10"
    (folder / "model.tflite").write_bytes(b"not a model")
    digest = hashlib.sha256(b"not a model").hexdigest()
    (folder / "card.json").write_text(json.dumps({"files": {"model.tflite": digest}}))
    with pytest.raises(ModelError, match=r"model\.tflite cannot be loaded"):
        load(store, "digits")


def test_a_model_has_the_text_of_its_card(store: Path) -> None:
    model = load(store, "digits/1")
    assert model.card_json == (store / "digits" / "1" / "card.json").read_text()
    assert (
        model.sha256 == hashlib.sha256((store / "digits/1/model.tflite").read_bytes()).hexdigest()
    )
    assert model.images.engine.name == "litert"


def test_keras_without_tensorflow_says_what_to_install(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "inkstream_server.engines.keras", None)
    with pytest.raises(ModelError, match=r"inkstream-server\[keras\]"):
        load(store, "digits", "keras")


@pytest.mark.parametrize("name", ["digits", "digits-plain"])
def test_the_bundled_models_match_their_cards(name: str) -> None:
    folder = find(BUNDLED, name)
    for file in (kind.file for kind in config.ENGINES.values()):
        stated = model_card.digests(model_card.parse(model_card.read(folder)))[file]
        assert hashlib.sha256((folder / file).read_bytes()).hexdigest() == stated


def test_a_pin_names_the_version_that_is_served(store: Path) -> None:
    model_store.pin(store, "digits", "2")
    assert (store / "digits" / "serving").read_text() == "2\n"
    assert find(store, "digits").name == "2"
    assert find(store, "digits/10").name == "10", "a named version takes precedence over the pin"
    model_store.pin(store, "digits", None)
    assert find(store, "digits").name == "10"
    model_store.pin(store, "digits", None)


def test_a_pin_to_a_missing_version_is_refused_with_the_fix(store: Path) -> None:
    with pytest.raises(ModelError, match=r"no 'digits/7' in"):
        model_store.pin(store, "digits", "7")
    (store / "digits" / "serving").write_text("7")
    with pytest.raises(ModelError, match=r"names version '7', .*models serve digits"):
        find(store, "digits")


def test_an_empty_pin_is_ignored_and_a_binary_one_is_refused(store: Path) -> None:
    (store / "digits" / "serving").write_text("\n")
    assert find(store, "digits").name == "10"
    (store / "digits" / "serving").write_bytes(b"\xff")
    with pytest.raises(ModelError, match="serving cannot be read"):
        find(store, "digits")


def test_a_model_with_an_invalid_rule_is_not_served(store: Path) -> None:
    path = store / "digits" / "10" / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "reject": {"score": "odd"}}))
    with pytest.raises(ModelError, match=r"the card of model digits/10: reject: expected"):
        load(store, "digits")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(
    path=st.sampled_from(
        [
            ("files",),
            ("files", "model.tflite"),
            ("files", "model.tflite", "sha256"),
            ("ink_temperature",),
            ("reject",),
            ("reject", "unsure_below"),
            ("reject", "score"),
            ("sample",),
            ("sample", "probabilities"),
        ]
    ),
    value=JSON,
)
def test_a_card_of_any_content_is_accepted_or_refused(
    tmp_path_factory: pytest.TempPathFactory, path: tuple[str, ...], value: object
) -> None:
    folder = tmp_path_factory.getbasetemp() / "digits" / "3"
    shutil.copytree(BUNDLED / "digits" / "4", folder, dirs_exist_ok=True)
    card = json.loads((folder / "card.json").read_text())
    place = card
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (folder / "card.json").write_text(json.dumps(card))
    with contextlib.suppress(ModelError):
        model_store.load_folder(folder)


@pytest.mark.parametrize("name", ["4\x1b[2J", os.fsdecode(b"4\xff")])
def test_a_version_whose_name_cannot_be_printed_is_refused(store: Path, name: str) -> None:
    folder = (store / "digits" / "10").rename(store / "digits" / name)
    with pytest.raises(ModelError, match="its name cannot be printed") as refused:
        model_store.load_folder(folder)
    assert str(refused.value).isprintable()


def test_a_folder_with_too_many_entries_is_refused(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(model_store.versions(store, "digits")) == 3
    monkeypatch.setattr(model_store, "MOST_ENTRIES", 2)
    with pytest.raises(ModelError, match="holds more than 2 entries"):
        find(store, "digits")


def test_an_error_lists_some_of_many_versions(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_store, "MOST_LISTED", 2)
    with pytest.raises(ModelError, match=r"there are digits/1, digits/2$"):
        find(store, "letters")


@pytest.fixture
def pair(store: Path) -> Path:
    """The folder of digits/10, with a second network, for strokes."""
    folder = store / "digits" / "10"
    add_strokes(folder)
    return folder


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the card of a version."""
    card = json.loads((folder / "card.json").read_text())
    change(card)
    (folder / "card.json").write_text(json.dumps(card))


def test_a_version_with_strokes_answers_images_with_one_network_and_ink_with_both(
    pair: Path,
) -> None:
    model = load_folder(pair)
    assert (model.images.kind, model.ink.kind) == ("image", "strokes")
    assert (model.images.engine.max_rows, model.ink.engine.max_rows) == (256, 32)
    assert model.images.label == model.ink.label == "digits/10"
    assert model.images.row_ns > 1
    assert model.ink.row_ns > 1
    assert (model.ink.rule.unsure_below, model.ink.rule.ink_temperature) == (
        model.images.rule.unsure_below,
        1.0,
    )
    frames, traces = model_sample.frames(), model_sample.traces()
    strokes = LiteRTEngine(pair / "strokes.tflite", form=TRACES)
    expected = product(model.images.engine.infer([frames]), strokes.infer([traces]), 0.3, 0.9)
    found = model.ink.engine.infer([rows_of(frames, traces)])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_version_whose_networks_answer_as_its_card_records_is_served(pair: Path) -> None:
    strokes = LiteRTEngine(pair / "strokes.tflite", form=TRACES)
    record = model_sample.record(strokes.infer([model_sample.traces()]))
    changed(pair, lambda card: card["strokes"].update(sample=record))
    assert load_folder(pair).ink.kind == "strokes"


def test_a_version_without_strokes_answers_ink_with_its_only_network(store: Path) -> None:
    model = load(store, "digits")
    assert model.ink is model.images


def test_a_file_that_the_card_does_not_speak_of_is_not_loaded(pair: Path) -> None:
    (pair / "strokes.tflite").write_bytes(b"no network")
    changed(pair, lambda card: card.pop("strokes"))
    model = load_folder(pair)
    assert model.ink is model.images


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda card: card["strokes"].pop("image_weight"), "strokes.image_weight: expected"),
        (lambda card: card["files"].pop("strokes.tflite"), "has no sha256 for strokes.tflite"),
        (
            lambda card: card["files"].update({"strokes.tflite": "0" * 64}),
            "strokes.tflite: sha256 is",
        ),
        (
            lambda card: card["strokes"].update(
                sample=model_sample.record(np.full((10, 10), 0.1, np.float32))
            ),
            "strokes.tflite fails on the built-in sample",
        ),
        (
            lambda card: card["strokes"].update(sample="good"),
            "strokes.tflite fails on the built-in sample",
        ),
    ],
)
def test_a_network_for_strokes_that_differs_from_its_card_is_refused_by_name(
    pair: Path, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    changed(pair, change)
    with pytest.raises(ModelError, match=re.escape(reason)):
        load_folder(pair)


def test_a_card_with_strokes_and_no_file_of_them_is_refused(pair: Path) -> None:
    (pair / "strokes.tflite").unlink()
    with pytest.raises(ModelError, match=r"digits/10: strokes: there is no file strokes\.tflite"):
        load_folder(pair)


def test_a_network_for_strokes_that_reads_images_is_refused(pair: Path) -> None:
    content = (pair / "model.tflite").read_bytes()
    (pair / "strokes.tflite").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    changed(pair, lambda card: card["files"].update({"strokes.tflite": digest}))
    with pytest.raises(ModelError, match=r"strokes\.tflite cannot be loaded: .*expected input"):
        load_folder(pair)


def test_a_changed_network_for_strokes_is_another_version_to_a_watch_and_to_a_trial(
    pair: Path,
) -> None:
    tried, files = load_folder(pair).digest, model_store.files_of(pair)
    add_strokes(pair, seed=2)
    assert model_store.files_of(pair) != files
    assert load_folder(pair).digest != tried
    with pytest.raises(ModelError, match="was changed after it was tried"):
        load_folder(pair, tried=tried)
