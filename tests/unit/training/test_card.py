import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from inkstream_training.card import (
    BASELINE,
    Card,
    CardError,
    DataFile,
    ModelFile,
    Parity,
    SeedResult,
    mean_and_sd,
)
from inkstream_training.metrics import Metrics
from inkstream_training.train import Epoch


@pytest.fixture
def card() -> Card:
    return Card(
        name="digits",
        version="1",
        description="A model.",
        created="2026-11-23",
        architecture=["Dense"],
        parameters=118_282,
        recipe={"epochs": 3, "augmentation": {"shear": 0.12}, "ema_decay": None},
        data=[DataFile("a.gz", "00", 10, "test")],
        seed=2,
        selection="the first",
        temperature=1.0,
        metrics=Metrics(10, 1, 0.9, 0.1, 0.02, {"0.01": 0.5}, {"0": 1.0}),
        seeds=[SeedResult(2, 0.9, None, None, 1.0)],
        test_accuracy_mean=0.9,
        test_accuracy_sd=None,
        baseline=BASELINE,
        parity=Parity(True, 1e-7),
        history=[Epoch(1, 0.5, 0.8, None), Epoch(2, 0.25, 0.9, 0.85)],
        files={"model.keras": ModelFile("ab", 12)},
        libraries={"keras": "3"},
        training_seconds=1.5,
    )


def changed(card: Card, path: Path, **keys: Any) -> Path:
    path.write_text(json.dumps(card.to_json() | keys))
    return path


def test_a_card_reads_back_as_it_was_written(card: Card, tmp_path: Path) -> None:
    card.write(tmp_path / "card.json")
    assert Card.read(tmp_path / "card.json") == card


def test_a_card_has_the_keys_that_the_server_reads(card: Card, tmp_path: Path) -> None:
    card.write(tmp_path / "card.json")
    content = json.loads((tmp_path / "card.json").read_text())
    assert content["name"] == "digits"
    assert content["version"] == "1"
    assert content["files"]["model.keras"]["sha256"] == "ab"


def test_the_figure_to_reproduce_is_named_as_such(card: Card) -> None:
    assert card.to_json()["baseline"]["accuracy"] == 0.9777
    assert "user" in card.to_json()["baseline"]["source"]


def test_keys_of_a_later_version_are_ignored(card: Card, tmp_path: Path) -> None:
    assert Card.read(changed(card, tmp_path / "card.json", per_writer=[1, 2])) == card


def test_an_integer_is_accepted_for_a_float(card: Card, tmp_path: Path) -> None:
    read = Card.read(changed(card, tmp_path / "card.json", temperature=2))
    assert read == dataclasses.replace(card, temperature=2.0)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"temperature": "hot"}, "temperature: expected float, got 'hot'"),
        ({"temperature": True}, "temperature: expected float, got True"),
        ({"seeds": {}}, "seeds: expected a list"),
        ({"metrics": {"examples": 1}}, "metrics: expected the keys errors"),
        ({"history": [3]}, r"history\[0\]: expected an object, got 3"),
        ({"files": []}, "files: expected an object"),
        ({"seed": None}, "seed: expected int, got None"),
    ],
)
def test_a_wrong_key_is_named_with_its_value(
    card: Card, tmp_path: Path, keys: dict[str, Any], says: str
) -> None:
    with pytest.raises(CardError, match=says) as caught:
        Card.read(changed(card, tmp_path / "card.json", **keys))
    assert str(tmp_path) in str(caught.value)


def test_a_missing_key_is_named(card: Card, tmp_path: Path) -> None:
    content = card.to_json()
    del content["parity"]
    (tmp_path / "card.json").write_text(json.dumps(content))
    with pytest.raises(CardError, match="expected the keys parity"):
        Card.read(tmp_path / "card.json")


@pytest.mark.parametrize("content", ["", "{", "[1]", "\xff"])
def test_a_file_that_is_no_card_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "card.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(CardError, match="expected"):
        Card.read(tmp_path / "card.json")


def test_a_missing_card_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="inkstream-train train"):
        Card.read(tmp_path / "card.json")


def test_mean_and_sample_deviation_of_a_hand_computed_case() -> None:
    assert mean_and_sd([1.0, 2.0, 3.0]) == (2.0, 1.0)
    assert mean_and_sd([0.5]) == (0.5, None)
