import dataclasses

import pytest
from inkstream_training.recipes import RECIPES, Recipe


def test_plain_is_the_recipe_as_it_was_stated() -> None:
    plain = RECIPES["plain"]
    assert (plain.epochs, plain.batch_size, plain.learning_rate) == (10, 128, 1e-3)
    assert plain.schedule == "constant"
    assert plain.augmentation is None
    assert plain.ema_decay is None
    assert plain.validation_examples == 0
    assert not plain.fits_temperature


def test_augmented_holds_out_images_for_selection() -> None:
    augmented = RECIPES["augmented"]
    assert augmented.validation_examples == 5_000
    assert "5,000" in augmented.selection
    assert "test" not in augmented.selection


def test_every_recipe_trains_three_seeds_into_its_own_folder() -> None:
    assert all(len(recipe.seeds) == 3 for recipe in RECIPES.values())
    assert len({(r.model_name, r.version) for r in RECIPES.values()}) == len(RECIPES)


def test_ink_succeeds_augmented_as_the_newest_version_of_one_model() -> None:
    augmented, ink = RECIPES["augmented"], RECIPES["ink"]
    assert ink.model_name == augmented.model_name
    assert int(ink.version) > int(augmented.version)


def test_ink_also_selects_by_digits_of_validation_writers() -> None:
    assert RECIPES["ink"].sources == (
        "mnist",
        "pendigits",
        "unipen",
        "uji",
        "emnist_letters",
    )
    assert "validation's writers" in RECIPES["ink"].selection
    assert "test" not in RECIPES["ink"].selection


def test_a_recipe_cannot_be_changed_by_accident() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        RECIPES["plain"].epochs = 3  # type: ignore[misc]  # what the test is about


def test_a_temperature_needs_images_to_fit_it_on() -> None:
    with pytest.raises(ValueError, match="fits_temperature"):
        dataclasses.replace(RECIPES["augmented"], validation_examples=0)


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"batch_size": 0}])
def test_a_recipe_that_does_nothing_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        dataclasses.replace(RECIPES["plain"], **wrong)  # type: ignore[arg-type]  # mypy: a dict of fields


def test_without_held_out_images_the_first_seed_is_served() -> None:
    recipe = Recipe("r", "m", "d", epochs=1, batch_size=1, learning_rate=0.1)
    assert recipe.selection.startswith("the first seed")
