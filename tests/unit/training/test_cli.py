import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from inkstream_training import evaluate, produce
from inkstream_training.cli import main
from inkstream_training.quiet import quiet


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("command", [[], ["train"], ["evaluate"]])
def test_help_opens_with_a_sentence_and_shows_examples(command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Examples:\n" in result.stdout
    assert "inkstream-train" in result.stdout


def test_train_writes_a_model_that_evaluate_repeats(small_mnist: Path, tmp_path: Path) -> None:
    common = ("--mnist", small_mnist, "--json")
    trained = run(
        "train", "--recipe", "plain", "--epochs", 1, "--seed", 7, "--out", tmp_path, *common
    )
    assert trained.exit_code == 0, trained.output
    answer = json.loads(trained.stdout)
    folder = Path(answer["folder"])
    assert folder == tmp_path / "digits-plain" / "1"
    assert answer["card"]["seed"] == 7
    assert "seed 7" in trained.stderr
    assert sorted(path.name for path in folder.parent.iterdir()) == ["1"]

    evaluated = run("evaluate", folder, *common)
    assert evaluated.exit_code == 0, evaluated.output
    assert json.loads(evaluated.stdout)["agrees"] is True

    card = json.loads((folder / "card.json").read_text())
    card["metrics"]["errors"] += 1
    (folder / "card.json").write_text(json.dumps(card))
    tampered = run("evaluate", folder, *common)
    assert tampered.exit_code == 1
    assert json.loads(tampered.stdout)["agrees"] is False
    assert "metrics.errors" in tampered.stderr

    again = run("train", "--recipe", "plain", "--epochs", 1, "--out", tmp_path, *common)
    assert again.exit_code == 2
    assert "--model-version, or add --force" in again.stderr


def test_the_output_for_people_has_tables_and_a_picture(small_mnist: Path, tmp_path: Path) -> None:
    trained = run(
        "train", "--recipe", "plain", "--epochs", 1, "--seeds", "1,2", "--out", tmp_path,
        "--mnist", small_mnist,
    )  # fmt: skip
    assert trained.exit_code == 0, trained.output
    assert "97.77%" in trained.stdout
    assert "mean" in trained.stdout
    plots = tmp_path / "plots"
    shown = run("evaluate", tmp_path / "digits-plain/1", "--mnist", small_mnist, "--plots", plots)
    assert shown.exit_code == 0, shown.output
    assert "metrics.accuracy" in shown.stdout
    assert "Confusion" in shown.stdout
    assert (plots / "digits-plain-1.png").is_file()


def test_a_folder_without_a_card_says_what_to_do(tmp_path: Path) -> None:
    result = run("evaluate", tmp_path)
    assert result.exit_code == 2
    assert "card.json" in result.stderr
    assert "inkstream-train train" in result.stderr


def test_missing_images_say_what_to_do(tmp_path: Path) -> None:
    result = run("train", "--mnist", tmp_path, "--out", tmp_path / "models")
    assert result.exit_code == 2
    assert "put the four MNIST files there" in result.stderr
    assert not (tmp_path / "models").exists()


def test_an_interruption_has_its_own_exit_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate, "evaluate", interrupt)
    interrupted = run("evaluate")
    assert (interrupted.exit_code, interrupted.stderr) == (130, "Interrupted.\n")


def test_missing_images_are_reported_before_ink_is_drawn(
    small_ink: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(produce, "prepare", lambda *_: pytest.fail("drew ink"))
    given = ("--recipe", "ink", "--mnist", tmp_path, "--data", small_ink)
    result = run("train", *given, "--out", tmp_path / "models")
    assert result.exit_code == 2
    assert "put the four MNIST files there" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--seed", "1", "--seeds", "1,2"], "give one of them"),
        (["--seeds", "1,x"], "numbers separated by commas"),
        (["--seeds", "1,1"], "each once"),
        (["--epochs", "0"], "--epochs"),
        (["--recipe", "oak"], "'plain', 'augmented', 'ink'"),
        (["--model-version", "../2"], "plain folder name"),
    ],
)
def test_a_wrong_option_is_named(arguments: list[str], says: str) -> None:
    result = run("train", *arguments)
    assert result.exit_code == 2
    assert says in result.stderr


def test_quiet_hides_standard_error_unless_the_work_fails(
    capfd: pytest.CaptureFixture[str],
) -> None:
    import os

    with quiet():
        os.write(2, b"chatter")
    assert capfd.readouterr().err == ""
    with pytest.raises(RuntimeError), quiet():
        os.write(2, b"the cause")
        raise RuntimeError
    assert capfd.readouterr().err == "the cause"
