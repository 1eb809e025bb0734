import dataclasses
from pathlib import Path

import numpy as np
import pytest
from inkstream_training.ink import mixture as mixture_module
from inkstream_training.ink.collection import (
    learn_frames,
    learn_traces,
    prepare,
    select,
    splits_of,
)
from inkstream_training.ink.distortion import distort
from inkstream_training.ink.mixture import NOT_A_DIGIT
from inkstream_training.ink.negatives import LOOK_ALIKES
from inkstream_training.ink.sources import Glyph, load
from inkstream_training.recipes import RECIPES, InkMixture, StrokeRecipe

FEW = InkMixture(
    digit_drawings=3,
    prefixes=(1, 2, 1, 1, 2, 1, 1, 2, 5, 6),
    letter_drawings=3,
    scribbles=30,
    merged=40,
)


@pytest.fixture
def glyphs(small_ink: Path) -> list[Glyph]:
    return [glyph for of_file in load(small_ink).values() for glyph in of_file]


def of_part(glyphs: list[Glyph], part: str) -> list[Glyph]:
    return [glyph for glyph in glyphs if glyph.part == part]


def test_the_mixture_sets_the_counts_of_an_epoch(glyphs: list[Glyph]) -> None:
    learned = learn_frames(glyphs, FEW)
    frames, labels = learned.inputs, learned.labels
    training = of_part(glyphs, "training")
    digits = [glyph for glyph in training if glyph.label.isdecimal()]
    letters = sum(glyph.label in "K#" for glyph in training)
    prefixes = sum(FEW.prefixes[int(glyph.label)] for glyph in digits)
    assert frames.shape == (len(labels), 28, 28)
    assert (labels >= 0).sum() == 3 * len(digits)
    assert (labels == NOT_A_DIGIT).sum() == prefixes + 3 * letters + 30 + 40
    counts = [sum(glyph.label == digit for glyph in digits) for digit in "0123456789"]
    np.testing.assert_array_equal(np.bincount(labels[labels >= 0]), 3 * np.array(counts))
    assert learned.shares[labels >= 0].sum() == pytest.approx(FEW.digit_repeats * len(digits))
    assert learned.shares[labels < 0].sum() == pytest.approx(
        FEW.prefix_repeats * prefixes + FEW.letter_repeats * letters + 30 + 40 * FEW.merged_repeats
    )


@pytest.mark.parametrize("evenness", [0.0, 0.5, 1.0])
def test_the_weight_of_a_writer_grows_with_its_digits_by_the_chosen_power(
    glyphs: list[Glyph], evenness: float
) -> None:
    digits = [g for g in of_part(glyphs, "training") if g.source == "uji" and g.label.isdecimal()]
    first = digits[0].writer
    theirs = [glyph for glyph in digits if glyph.writer == first]
    mixture = dataclasses.replace(FEW, writer_evenness=evenness, scribbles=0, merged=0)
    learned = learn_frames([*digits, *theirs * 8], mixture)
    shares = learned.shares[learned.labels >= 0].reshape(-1, FEW.digit_drawings).sum(axis=1)
    assert shares.mean() == pytest.approx(mixture.digit_repeats)
    of_first = np.array([glyph.writer == first for glyph in [*digits, *theirs * 8]])
    received = shares[of_first].sum() / (shares[~of_first].sum() / 20)
    assert received == pytest.approx(9 ** (1 - evenness))


def test_no_two_drawings_of_a_digit_are_alike(glyphs: list[Glyph]) -> None:
    learned = learn_frames(glyphs, FEW)
    drawn = learned.inputs[learned.labels >= 0].reshape(-1, FEW.digit_drawings, 28 * 28)
    assert (drawn[:, 0] != drawn[:, 1]).any(axis=1).all()


def test_frames_and_traces_are_of_the_same_ink_if_their_mixtures_are(glyphs: list[Glyph]) -> None:
    frames, traces = learn_frames(glyphs, FEW), learn_traces(glyphs, FEW)
    assert traces.inputs.shape == (len(frames.inputs), 64, 7)
    np.testing.assert_array_equal(frames.labels, traces.labels)
    np.testing.assert_array_equal(frames.shares, traces.shares)
    # Wide ink is a wide trace.
    width = np.ptp(traces.inputs[:, :, 0].astype(float), axis=1)
    columns = (frames.inputs.max(axis=1) > 0).sum(axis=1)
    assert np.corrcoef(width, columns)[0, 1] > 0.9


def test_look_alikes_and_held_out_writers_are_never_trained_on(
    glyphs: list[Glyph], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []

    def spy(strokes, *args):  # type: ignore[no-untyped-def]  # passed on as it came
        drawn.extend(id(stroke) for stroke in strokes)
        return distort(strokes, *args)

    monkeypatch.setattr(mixture_module, "distort", spy)
    learn_frames(glyphs, FEW)
    look_alikes = {label for labels in LOOK_ALIKES.values() for label in labels}
    barred = [g for g in glyphs if g.part != "training" or g.label in look_alikes]
    allowed = [g for g in glyphs if g.part == "training" and g.label not in look_alikes]
    assert any(glyph.label == "O" for glyph in glyphs if glyph.part == "training")
    assert not {id(stroke) for glyph in barred for stroke in glyph.strokes} & set(drawn)
    assert {id(stroke) for glyph in allowed for stroke in glyph.strokes} <= set(drawn)


def test_the_same_mixture_draws_the_same_frames_and_another_seed_does_not(
    glyphs: list[Glyph],
) -> None:
    once, again, other = (
        learn_frames(glyphs, mixture).inputs
        for mixture in (FEW, FEW, dataclasses.replace(FEW, seed=2))
    )
    np.testing.assert_array_equal(once, again)
    assert (once != other).any()


def test_no_ink_is_drawn_blank(glyphs: list[Glyph]) -> None:
    learned = learn_frames(glyphs, FEW)
    frames, labels = learned.inputs, learned.labels
    blank = frames.reshape(len(frames), -1).max(axis=1) == 0
    assert blank[labels >= 0].sum() == 0
    assert blank.sum() == 0


def test_a_set_holds_one_part_and_halves_beside_wholes(glyphs: list[Glyph]) -> None:
    test = select(glyphs, "test")
    wanted = [glyph for glyph in of_part(glyphs, "test") if not glyph.in_string]
    assert len(wanted) < len(of_part(glyphs, "test")), "digits of strings are for training only"
    assert len(test.digits) == len(test.halves) == sum(g.label.isdecimal() for g in wanted)
    assert set(test.writers[test.sources == "pendigits"]) == {"5", "10", "15", "20", "25", "30"}
    assert set(test.letter_labels) == {"K", "#", "O"}
    np.testing.assert_array_equal(test.look_alike, test.letter_labels == "O")
    # Half of a 1 is a 1 again, drawn as large; half of an 8 is not an 8.
    change = np.abs(test.digits.frames.astype(int) - test.halves.frames).mean(axis=(1, 2))
    assert change[test.labels == 8].mean() > 3 * change[test.labels == 1].mean()


def test_prepare_draws_and_splits_everything_and_reports_progress(small_ink: Path) -> None:
    reported: list[int] = []
    recipe = dataclasses.replace(RECIPES["ink"], ink=FEW, strokes=StrokeRecipe(ink=FEW))
    parts = prepare(recipe, small_ink, reported.append)
    assert sum(reported) > 1000
    assert parts.glyphs["uji/digits.jsonl.gz"] == 300
    assert parts.traces is not None
    np.testing.assert_array_equal(parts.frames.labels, parts.traces.labels)
    for split in parts.splits.values():
        assert split.validation
        assert split.test
        assert not set(split.validation) & set(split.test)
    assert parts.splits["pendigits"].validation == ["3", "13", "23"]


def test_a_writer_held_out_for_digits_is_held_out_for_letters(glyphs: list[Glyph]) -> None:
    unipen = splits_of(glyphs)["unipen"]
    letters = {g.writer for g in glyphs if g.label == "K" and g.part == "test"}
    digits = {g.writer for g in glyphs if g.source == "unipen" and g.label == "8"}
    assert letters & digits == set(unipen.test) & digits
