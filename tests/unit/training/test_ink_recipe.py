"""The recipe `ink` from files of strokes to a card that `evaluate` repeats, by the command line."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from inkstream_server.confidence.rejection import rule_of
from inkstream_training import pictures
from inkstream_training.card import Card
from inkstream_training.cli import main
from inkstream_training.ink import sources
from inkstream_training.ink.collection import select
from inkstream_training.ink.figures import SURE
from inkstream_training.ink.gates import GATES
from inkstream_training.readers import reader_of
from inkstream_training.recipes import RECIPES, InkMixture, StrokeRecipe


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe with small amounts of everything."""
    few = InkMixture(digit_drawings=3, letter_drawings=3, scribbles=50, merged=100)
    recipe = dataclasses.replace(
        RECIPES["ink"],
        epochs=2,
        validation_examples=200,
        ink=few,
        # Slowly, so that not every confidence is 1 in float32.
        strokes=StrokeRecipe(epochs=2, learning_rate=3e-4, ema_decay=0.9, ink=few),
    )
    monkeypatch.setitem(RECIPES, "ink", recipe)
    monkeypatch.setattr(pictures, "MISTAKES", 4)


@pytest.mark.slow
def test_the_ink_recipe_trains_evaluates_draws_and_repeats(
    quick: None, small_mnist: Path, small_ink: Path, tmp_path: Path
) -> None:
    common = ("--mnist", small_mnist, "--data", small_ink)
    trained = run("train", "--recipe", "ink", "--seeds", "1,2", "--out", tmp_path, *common)
    assert trained.exit_code == 0, trained.output
    assert "no_digits_auroc" in trained.stdout
    folder = tmp_path / "digits" / "4"
    card = Card.read(folder / "card.json")
    assert card.splits is not None
    assert card.splits["pendigits"].test == ["5", "10", "15", "20", "25", "30"]
    assert card.gates is not None
    assert set(card.gates) == set(GATES)
    assert all(len(gate.seeds) == 2 for gate in card.gates.values())
    assert card.reject is not None
    server = rule_of((folder / "card.json").read_text())
    assert server.not_a_digit_below == card.reject.not_a_digit_below
    assert server.unsure_below == card.reject.unsure_below
    assert server.ink_temperature == card.ink_temperature != 1.0

    glyphs = [glyph for of_file in sources.load(small_ink).values() for glyph in of_file]
    assert card.strokes is not None
    assert card.strokes.image_weight > 0 or card.strokes.strokes_weight > 0
    halves = reader_of(folder, card)(select(glyphs, "validation").halves)
    assert (halves.max(axis=1) > SURE).mean() <= InkMixture().halves_sure
    assert card.seeds[1].alone is not None
    assert set(card.seeds[1].alone) == {"image", "strokes"}
    assert {file.name for file in folder.iterdir()} == {*card.files, "card.json"}
    assert "strokes.tflite" in card.files

    shown = run("evaluate", folder, "--plots", tmp_path / "plots", *common)
    assert shown.exit_code == 0, shown.output
    assert "Pen digits by writer" in shown.stdout
    assert "gates.pendigits_worst_writer.mean" in shown.stdout
    assert "ink.no_digits.fpr95" in shown.stdout
    assert "letters.no_digits.auroc" in shown.stdout
    assert "strokes.strokes_alone.pen.ece" in shown.stdout
    names = {path.name.removeprefix("digits-4-") for path in (tmp_path / "plots").iterdir()}
    assert {"confusion-pen.png", "reliability.png", "coverage.png"} <= names
    assert {"mistakes-MNIST.png", "mistakes-pen.png"} <= names

    content = json.loads((folder / "card.json").read_text())
    content["ink"]["sources"]["uji"]["metrics"]["errors"] += 1
    content["gates"]["mnist_accuracy"]["mean"] += 0.01
    content["ink_temperature"] *= 1.1
    content["strokes"]["strokes_weight"] *= 1.1
    (folder / "card.json").write_text(json.dumps(content))
    tampered = run("evaluate", folder, "--json", *common)
    assert tampered.exit_code == 1
    answer = json.loads(tampered.stdout)
    assert answer["agrees"] is False
    (splits,) = (it["measured"] for it in answer["figures"] if it["name"] == "splits")
    assert splits["pendigits"]["test"] == ["5", "10", "15", "20", "25", "30"]
    assert "ink.sources.uji.metrics.errors" in tampered.stderr
    assert "gates.mnist_accuracy.mean" in tampered.stderr
    assert "ink_temperature" in tampered.stderr
    assert "ink.pen.ece" in tampered.stderr
    assert "strokes.image_alone.pen.ece" in tampered.stderr


@pytest.mark.parametrize("missing", ["emnist_letters/letters.npz", "unipen/nondigits.jsonl.gz"])
def test_missing_data_say_what_to_do(
    missing: str, quick: None, small_mnist: Path, small_ink: Path, tmp_path: Path
) -> None:
    data = shutil.copytree(small_ink, tmp_path / "data")
    (data / missing).unlink()
    result = run(
        "train", "--recipe", "ink", "--mnist", small_mnist, "--data", data, "--out", tmp_path
    )
    assert result.exit_code == 2
    assert "INKSTREAM_DATA" in result.stderr
    assert missing in result.stderr
