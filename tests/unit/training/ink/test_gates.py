import pytest
from inkstream_training.ink.gates import GATES, check


def figures(**differing: float) -> dict[str, float]:
    """Every figure exactly at its bound, except the given ones."""
    return {name: bound.limit for name, bound in GATES.items()} | differing


def test_a_figure_at_its_bound_passes_and_one_beyond_it_does_not() -> None:
    assert all(result.holds for result in check([figures()]).values())
    results = check([figures(mnist_accuracy=0.9929, pen_ece=0.0061)])
    assert {name for name, result in results.items() if not result.holds} == {
        "mnist_accuracy",
        "pen_ece",
    }


def test_the_mean_of_the_seeds_is_compared_with_the_bound_and_no_single_seed() -> None:
    result = check([figures(uji_accuracy=value) for value in (0.98, 0.99, 1.0)])["uji_accuracy"]
    assert result.mean == 0.99
    assert result.holds
    assert result.seeds == [0.98, 0.99, 1.0]


def test_rounding_errors_fail_no_bound() -> None:
    result = check([figures(half_ink_sure=value) for value in (0.01, 0.03, 0.05)])["half_ink_sure"]
    assert result.mean == 0.03
    assert result.holds


@pytest.mark.parametrize("name", list(GATES))
def test_a_share_is_bounded_and_errors_from_above(name: str) -> None:
    bound = GATES[name]
    assert 0 < bound.limit < 1
    assert bound.at_least == (name.endswith(("accuracy", "worst_writer", "auroc")))
