import dataclasses
from pathlib import Path

import pytest
from inkstream_server.model_store.store import ModelError, load_folder
from inkstream_training import finish as finish_module
from inkstream_training import produce as produce_module
from inkstream_training.card import Card
from inkstream_training.metrics import Metrics, measure
from inkstream_training.produce import produce, select
from inkstream_training.recipes import RECIPES, Augmentation
from inkstream_training.train import train_seed

QUICK = dataclasses.replace(
    RECIPES["augmented"],
    epochs=3,
    batch_size=100,
    ema_decay=0.8,
    validation_examples=200,
    augmentation=Augmentation(2.0, 0.02, 0.02, 0.4, 4.0, 5.0),
)


def test_the_card_holds_every_seed_and_serves_the_likeliest_on_held_out_images(
    small_mnist: Path, tmp_path: Path
) -> None:
    card = produce(QUICK, (3, 4), tmp_path / "digits/1", mnist_folder=small_mnist)
    assert Card.read(tmp_path / "digits/1/card.json") == card
    assert [one.seed for one in card.seeds] == [3, 4]
    assert card.seed == min(card.seeds, key=lambda one: one.validation_nll or 0.0).seed
    served = next(one for one in card.seeds if one.seed == card.seed)
    assert served.temperature == card.temperature != 1.0
    assert served.test_accuracy == card.metrics.accuracy > 0.5
    assert card.recipe["augmentation"]["elastic_alpha"] == 4.0
    assert {file.use for file in card.data} == {"training; the last 200 are validation", "test"}
    assert len(card.history) == 3
    assert card.parity.same_answers


def test_a_server_checks_a_model_against_the_record_in_its_card(
    small_mnist: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "digits/1"
    recipe = dataclasses.replace(QUICK, epochs=1)
    card = produce(recipe, (1,), folder, mnist_folder=small_mnist)
    assert card.sample is not None
    assert load_folder(folder).label == "digits/1"
    card.sample["probabilities"][4] = [0.1] * 10
    card.write(folder / "card.json")
    with pytest.raises(ModelError, match="the card records"):
        load_folder(folder)


def test_plain_has_no_temperature_and_serves_the_first_seed(
    small_mnist: Path, tmp_path: Path
) -> None:
    recipe = dataclasses.replace(RECIPES["plain"], epochs=1)
    card = produce(recipe, (5, 4), tmp_path / "p", mnist_folder=small_mnist)
    assert card.seed == 5
    assert card.temperature == 1.0
    assert all(one.validation_accuracy is None for one in card.seeds)


def test_the_test_images_are_used_once_for_each_finished_seed(
    small_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []

    def counted_train(*args: object, **named: object) -> object:
        run = train_seed(*args, **named)  # type: ignore[arg-type]  # passed on as they came
        happened.append("finished")
        return run

    def counted_measure(*args: object) -> Metrics:
        happened.append("tested")
        return measure(*args)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(produce_module, "train_seed", counted_train)
    monkeypatch.setattr(finish_module, "measure", counted_measure)
    recipe = dataclasses.replace(QUICK, epochs=1)
    produce(recipe, (1, 2), tmp_path / "m", mnist_folder=small_mnist)
    assert happened == ["finished", "tested"] * 2


def test_selection_does_not_see_the_test_figures() -> None:
    from inkstream_training.card import SeedResult
    from inkstream_training.finish import Finished

    def finished(seed: int, test: float, nll: float) -> Finished:
        # Neither the run nor the metrics may matter.
        return Finished(None, SeedResult(seed, test, 0.9, nll, 1.0), None)  # type: ignore[arg-type]  # unused

    assert select([finished(1, 0.99, 0.2), finished(2, 0.5, 0.1)]).result.seed == 2


@pytest.mark.parametrize("seeds", [(), (1, 1)])
def test_missing_or_repeated_seeds_are_refused(tmp_path: Path, seeds: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="each once"):
        produce(QUICK, seeds, tmp_path)
