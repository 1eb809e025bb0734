"""Adding a file publishes a sound version, or nothing."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from inkstream_server.cli import main
from inkstream_server.config import BUNDLED
from inkstream_server.model_import import adding
from inkstream_server.model_import.adding import add, name_of
from inkstream_server.model_import.sources import SourceError
from inkstream_server.model_store import store as model_store
from inkstream_server.model_store.store import ModelError, load_folder

from tests.conftest import Mnist
from tests.damage import UNGUARDED, circle

TFLITE = BUNDLED / "digits" / "1" / "model.tflite"
KERAS = BUNDLED / "digits" / "1" / "model.keras"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["models", "add", *map(str, arguments)])


def files_below(folder: Path) -> list[str]:
    return sorted(str(it.relative_to(folder)) for it in folder.rglob("*") if it.is_file())


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """Add a bundled `.tflite` file beside an incomplete version 7; give the new version, and the output."""
    store = tmp_path_factory.mktemp("store")
    (store / "my-net" / "7").mkdir(parents=True)
    shutil.copy(TFLITE, store.parent / "My net.tflite")
    ran = run(store.parent / "My net.tflite", "--model-store", store)
    assert ran.exit_code == 0, ran.output
    return store / "my-net" / "8", ran


def test_a_tflite_file_becomes_the_next_version_and_answers_as_before(
    command: tuple[Path, Result],
) -> None:
    folder, _ = command
    assert model_store.versions(folder.parents[1], "my-net") == [folder]
    assert files_below(folder) == ["card.json", "model.tflite"]
    assert (folder / "model.tflite").read_bytes() == TFLITE.read_bytes()
    frames = np.random.default_rng(1).integers(0, 256, (20, 784), dtype=np.uint8)
    mine, original = (load_folder(it).images.engine for it in (folder, TFLITE.parent))
    np.testing.assert_allclose(mine.infer([frames]), original.infer([frames]), atol=1e-6)
    card = json.loads((folder / "card.json").read_text())
    assert card["input"] == {"shape": [28, 28], "high": 1}
    assert (card["output"], card["parameters"]) == ("probabilities", 118_282)
    assert (card["name"], card["version"]) == ("my-net", "8")
    assert card["latency_us"]["1"] > 0


def test_a_version_without_a_keras_file_says_which_engine_it_is_for(
    command: tuple[Path, Result],
) -> None:
    with pytest.raises(ModelError, match=r"my-net/8 has no model.keras, .* choose --engine litert"):
        load_folder(command[0], "keras")


def test_the_command_says_what_was_found_and_how_to_serve_it(command: tuple[Path, Result]) -> None:
    folder, ran = command
    for text in (
        "My net.tflite: LiteRT (.tflite)",
        "(28, 28), 0 to 1 (told by trying drawn digits)",
        "ten probabilities",
        "FULLY_CONNECTED",
        "118,282",
        "us alone",
        "--calibrate IMAGES LABELS gives it",
        f"written to {folder}",
        f"inkstream-server serve --model my-net --model-store {folder.parents[1]}",
    ):
        assert text in ran.stdout
    assert "trying it on drawn digits …" in ran.stderr
    assert "trying it as a server does …" in ran.stderr


def test_calibration_measures_fits_and_chooses(tmp_path: Path, mnist: Mnist) -> None:
    images, labels = mnist[0][:2000], mnist[1][:2000].astype(np.int64)
    np.savez(tmp_path / "test.npz", x_test=images, y_test=labels)
    paths = tmp_path / "test.npz", tmp_path / "test.npz"
    added = add(TFLITE, "mine", tmp_path / "store", pixels=1, images=paths)
    card = json.loads((added.folder / "card.json").read_text())
    answers = load_folder(added.folder).images
    given = np.concatenate([
        answers.engine.infer([images[at : at + 250].reshape(-1, 784)]) for at in range(0, 2000, 250)
    ])  # fmt: skip
    right = given.argmax(axis=1) == labels
    assert card["metrics"] == {"accuracy": pytest.approx(right.mean(), abs=1e-4), "examples": 2000}
    assert 0.5 < card["image_temperature"] < 2
    confidence = given.max(axis=1)
    assert answers.rule.unsure_below == card["reject"]["unsure_below"]
    assert (confidence < card["reject"]["not_a_digit_below"]).mean() <= 0.0105
    assert 1 - right[confidence >= card["reject"]["unsure_below"]].mean() <= 0.0075


def test_few_images_measure_but_choose_nothing_and_a_pin_is_mentioned(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", np.zeros((50, 28, 28), np.uint8))
    np.save(tmp_path / "labels.npy", np.zeros(50, np.int64))
    store = tmp_path / "store"
    shutil.copytree(BUNDLED / "digits" / "1", store / "digits" / "1")
    model_store.pin(store, "digits", "1")
    ran = run(
        TFLITE, "--name", "digits", "--model-store", store, "--pixels", "1", "--json",
        "--calibrate", tmp_path / "images.npy", tmp_path / "labels.npy",
    )  # fmt: skip
    told = json.loads(ran.stdout)
    assert (told["model"], told["shape"], told["high"]) == ("digits/2", [28, 28], 1)
    assert told["folder"] == str(store / "digits" / "2")
    assert {*told["calibration"]} == {"images", "accuracy", "temperature"}
    assert "digits is pinned to version 1: `inkstream-server models serve digits/2" in ran.stderr
    card = json.loads((store / "digits" / "2" / "card.json").read_text())
    assert "reject" not in card
    assert card["image_temperature"] == 1.0


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        (circle(TFLITE.read_bytes()), "of which some do not exist"),
    ],
)
def test_a_file_that_is_refused_leaves_nothing_in_the_store(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    (tmp_path / "model").write_bytes(content)
    ran = run(tmp_path / "model", "--model-store", tmp_path / "store")
    assert ran.exit_code == 1
    assert sentence in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "store").exists()


def test_a_file_that_crashes_the_engine_is_an_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inkstream_server.engines.tflite_file.require_plain", lambda *_: None)
    monkeypatch.syspath_prepend(str(UNGUARDED))  # The other process does not check, either.
    (tmp_path / "model.tflite").write_bytes(circle(TFLITE.read_bytes()))
    with pytest.raises(SourceError, match="the process that tried it ended by SIG"):
        add(tmp_path / "model.tflite", None, tmp_path / "store", pixels=1)
    assert not (tmp_path / "store").exists()


def test_without_tensorflow_a_keras_file_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "keras.py").write_text("raise ImportError('No module named keras')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(SourceError, match=r"pip install 'inkstream-server\[keras\]', or convert"):
        add(KERAS, None, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_store_that_cannot_be_written_is_named_and_left_without_half_a_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match="file/mine: Not a directory"):
        add(TFLITE, "mine", tmp_path / "file", pixels=1)

    def full(folder: Path, card: object) -> None:
        if tmp_path / "store" in folder.parents:
            raise OSError(28, "No space left on device", str(folder / "card.json"))
        written(folder, card)  # type: ignore[arg-type] # as it is called

    written = adding._write_card
    monkeypatch.setattr(adding, "_write_card", full)
    with pytest.raises(SourceError, match="No space left on device"):
        add(TFLITE, "mine", tmp_path / "store", pixels=1)
    assert os.listdir(tmp_path / "store" / "mine") == []  # noqa: PTH208 (names alone)


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a b", "n" * 65, "x\n"])
def test_a_name_that_is_no_plain_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match="--name: expected letters"):
        add(TFLITE, name, tmp_path / "store")


@pytest.mark.parametrize(
    ("file", "name"),
    [("My CNN (2).keras", "my-cnn-2"), ("lenet5.tflite", "lenet5"), ("数字.keras", "model")],
)
def test_a_model_takes_the_name_of_its_file(file: str, name: str) -> None:
    assert name_of(Path(file)) == name
    assert adding.NAME.fullmatch(name)
