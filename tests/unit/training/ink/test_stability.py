import ast
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner
from inkstream_server.model_store.store import BUNDLED
from inkstream_server.pens.stability import BOUNDS
from inkstream_training.cli import main
from inkstream_training.ink.rendering import Drawn
from inkstream_training.ink.sources import Glyph
from inkstream_training.ink.stability import (
    SHARES,
    Cuts,
    expected_error,
    fit,
    observe,
    stabilities,
)

L_SHAPE = (np.array([[0.0, 0.0], [0.0, 90.0]]), np.array([[0.0, 90.0], [60.0, 90.0]]))
"""A stroke down, then one to the right."""

GLYPHS = [
    Glyph("pendigits", "3", "4", L_SHAPE, y_up=False),
    Glyph("pendigits", "5", "4", L_SHAPE, y_up=False),
    Glyph("pendigits", "3", "K", L_SHAPE, y_up=False),
]
"""A digit of validation's, one of test's, a letter."""


def by_width(drawn: Drawn) -> npt.NDArray[np.float32]:
    """A model that reads wide ink as a 4 and narrow ink as a 1."""
    frames = drawn.frames
    wide = (frames.max(axis=1) > 0).sum(axis=1) > 8
    probabilities = np.full((len(frames), 10), 0.01, np.float32)
    probabilities[range(len(frames)), np.where(wide, 4, 1)] = 0.91
    return probabilities


def cuts(digits: list[int], confidences: list[float], lasted: list[bool]) -> Cuts:
    return Cuts(np.array(digits), np.array(confidences), np.array(lasted))


def test_an_early_answer_is_stable_if_the_whole_glyph_gets_the_same_digit() -> None:
    observed = observe(GLYPHS, "validation", by_width)
    assert len(observed["interim"].digits) == len(SHARES)
    # The first pen-up leaves a stick, the second the whole glyph.
    assert observed["provisional"].digits.tolist() == [1, 4]
    assert observed["provisional"].lasted.tolist() == [False, True]


def test_a_part_without_digits_is_refused() -> None:
    with pytest.raises(ValueError, match="training"):
        observe(GLYPHS, "training", by_width)


def test_a_table_holds_stable_shares_and_bins_with_few_answers_use_those_of_all_digits() -> None:
    many = cuts([7] * 2000, [0.97] * 2000, [True] * 500 + [False] * 1500)
    one = cuts([3], [0.97], [True])
    together = Cuts(
        *(np.concatenate(pair) for pair in zip(_columns(many), _columns(one), strict=True))
    )
    table = fit({"interim": together})["interim"]
    assert table.shape == (10, len(BOUNDS) + 1)
    at = sum(bound <= 0.97 for bound in BOUNDS)
    assert table[7, at] == pytest.approx(0.25, abs=0.01)
    assert 0.25 < table[3, at] < 0.35
    assert ((table > 0) & (table < 1)).all()
    assert stabilities({"interim": table}, "interim", one).tolist() == [table[3, at]]


def test_the_expected_error_of_a_hand_computed_case() -> None:
    observed = cuts([1] * 4, [0.9] * 4, [True, True, True, False])
    assert expected_error(np.full(4, 0.75), observed) == pytest.approx(0.0)
    assert expected_error(observed.confidences, observed) == pytest.approx(0.15)


def test_the_command_prints_tables_and_their_calibration_error(small_ink: Path) -> None:
    model = str(BUNDLED / "digits/1")
    result = CliRunner().invoke(main, ["stability", model, "--data", str(small_ink)])
    assert result.exit_code == 0, result.output
    printed = ast.literal_eval("{" + result.stdout + "}")
    assert set(printed) == {"interim", "provisional"}
    assert np.shape(printed["interim"]) == (10, len(BOUNDS) + 1)
    assert "held-out answers" in result.stderr


def _columns(one: Cuts) -> tuple[npt.NDArray[np.generic], ...]:
    return one.digits, one.confidences, one.lasted
