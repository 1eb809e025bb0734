from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from inkstream_server.cli import main
from inkstream_server.cli import models as model_commands
from inkstream_server.model_store import store as model_store
from inkstream_server.model_store.store import BUNDLED

from tests.damage import UNGUARDED, circle, damage


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with digits/1 to digits/3, which are equal."""
    for version in ("1", "2", "3"):
        shutil.copytree(BUNDLED / "digits" / "1", tmp_path / "digits" / version)
    return tmp_path


def call(store: Path, verb: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["models", verb, *arguments, "--model-store", str(store)])


def asked(store: Path, verb: str, *arguments: str) -> Any:
    result = call(store, verb, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def spoil(store: Path, version: str, file: str = "model.tflite") -> None:
    path = store / "digits" / version / file
    path.write_bytes(path.read_bytes() + b"more")


def test_versions_are_listed_with_what_is_served(store: Path) -> None:
    printed = call(store, "list").stdout.splitlines()
    assert [line.split()[0] for line in printed] == ["model", "digits/1", "digits/2", "digits/3"]
    assert [line.endswith("newest") for line in printed] == [False, False, False, True]
    assert "99.40%" in printed[1]
    asked(store, "serve", "digits/2")
    assert call(store, "list").stdout.splitlines()[2].endswith("pinned")
    rows = asked(store, "list")
    assert [row["model"] for row in rows if row["served"]] == ["digits/2"]
    assert rows[0]["accuracy"] == pytest.approx(0.994)


def test_a_version_with_an_empty_card_is_listed(store: Path) -> None:
    (store / "digits" / "2" / "card.json").write_text("no card")
    (store / "digits" / "serving").write_text("9")
    rows = asked(store, "list")
    assert [(row["accuracy"], row["served"]) for row in rows] == [
        (pytest.approx(0.994), False),
        (None, False),
        (pytest.approx(0.994), False),
    ]


def test_an_empty_store_is_an_error(tmp_path: Path) -> None:
    assert call(tmp_path, "list").exit_code == 1
    assert call(tmp_path, "verify").exit_code == 1


def test_the_bundled_models_are_sound() -> None:
    result = CliRunner().invoke(main, ["models", "verify", "--json"])
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert {row["model"] for row in rows} >= {"digits/1", "digits/4", "digits-plain/1"}
    assert not any(row["problem"] for row in rows)


@pytest.mark.parametrize("file", ["model.tflite", "model.keras"])
def test_a_version_whose_file_was_altered_is_found(store: Path, file: str) -> None:
    spoil(store, "2", file)
    result = call(store, "verify")
    assert result.exit_code == 1
    (bad,) = [line for line in result.stdout.splitlines() if not line.endswith("sound")]
    assert bad.startswith("digits/2")
    assert file in bad
    assert call(store, "verify", "digits/1").exit_code == 0


def test_a_version_that_crashes_the_engine_is_reported_and_never_pinned(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(UNGUARDED)
    damage(store / "digits" / "2", circle)
    rows = json.loads(call(store, "verify", "--json").stdout)
    assert [bool(row["problem"]) for row in rows] == [False, True, False]
    assert "SIGSEGV" in rows[1]["problem"]
    assert "crashes the engine" in call(store, "serve", "digits/2").stderr


def test_a_version_without_one_of_its_files_is_not_sound(store: Path) -> None:
    (store / "digits" / "3" / "model.keras").unlink()
    result = call(store, "verify", "digits")
    assert result.exit_code == 1
    assert "model.keras: No such file" in result.stdout


def test_a_version_is_pinned_and_unpinned(store: Path) -> None:
    assert asked(store, "serve", "digits/1") == {"model": "digits/1", "pinned": True}
    assert model_store.find(store, "digits").name == "1"
    assert call(store, "serve", "digits").stdout == "digits/3 is served (the newest)\n"
    assert model_store.find(store, "digits").name == "3"


def test_each_rollback_goes_one_version_back_until_the_first(store: Path) -> None:
    assert call(store, "rollback").stdout == "digits/2 is served (pinned)\n"
    assert asked(store, "rollback", "digits")["model"] == "digits/1"
    result = call(store, "rollback")
    assert result.exit_code == 1
    assert "no version before" in result.stderr
    assert model_store.find(store, "digits").name == "1"


def test_a_pin_in_the_bundled_store_prints_a_warning(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "came with the package" not in call(store, "rollback").stderr
    monkeypatch.setattr(model_commands, "BUNDLED", store)
    assert "came with the package" in call(store, "rollback").stderr


@pytest.mark.parametrize("verb", [["rollback"], ["serve", "digits/2"]])
def test_an_unsound_version_is_never_pinned(store: Path, verb: list[str]) -> None:
    spoil(store, "2")
    result = call(store, *verb)
    assert result.exit_code == 1
    assert "digits/2 is not sound" in result.stderr
    assert model_store.find(store, "digits").name == "3"


@pytest.mark.parametrize("verb", [["rollback", "letters"], ["serve", "digits/9"], ["verify", "x"]])
def test_a_missing_model_is_refused_with_a_list_of_all(store: Path, verb: list[str]) -> None:
    result = call(store, *verb)
    assert result.exit_code == 1
    assert "digits/1, digits/2, digits/3" in result.stderr
    assert "Traceback" not in result.output
