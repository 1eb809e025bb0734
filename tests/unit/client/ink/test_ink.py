import numpy as np
import pytest
from inkstream import InputError
from inkstream.ink import Ink, InvalidInk, Stroke

from tests.unit.client.ink import inks


def test_a_stroke_copies_what_it_is_given_and_cannot_be_changed() -> None:
    x = np.array([1.0, 2.0])
    stroke = Stroke(x, [3, 4])  # type: ignore[arg-type]
    x[0] = 9
    assert stroke.points.tolist() == [[1, 3], [2, 4]]
    with pytest.raises(ValueError, match="read-only"):
        stroke.x[0] = 9


def test_strokes_are_equal_when_their_columns_are() -> None:
    assert Stroke.of([(1, 2)]) == Stroke.of([(1, 2)])
    assert hash(Stroke.of([(0.0, 2)])) == hash(Stroke.of([(-0.0, 2)]))
    assert Stroke.of([(1, 2)]) != Stroke.of([(1, 2, 0)])
    assert Stroke.of([(1, 2)]) != Stroke.of([(1, 3)])
    assert Stroke.of([(1, 2)]) != "stroke"
    assert len({inks.seven(), inks.seven(), inks.seven(label="1")}) == 2


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        (([1, 2], [1]), "y: expected 2 values as x, got 1"),
        (([1], [1], [1, 2]), "t_ms: expected 1 values"),
        (([float("nan")], [1]), "x: expected finite numbers"),
        (([1], [[1]]), "y: expected one column"),
        ((["a"], [1]), "x: expected numbers"),
    ],
)
def test_columns_that_make_no_stroke_are_refused(
    columns: tuple[list[float], ...], reason: str
) -> None:
    with pytest.raises(InvalidInk, match=reason):
        Stroke(*columns)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "facts",
    [{"y": "left"}, {"units": "inch"}, {"per_mm": (0.0, 1.0)}, {"points_per_second": float("nan")}],
)
def test_facts_that_mean_nothing_are_refused_by_name(facts: dict[str, object]) -> None:
    with pytest.raises(InvalidInk, match=next(iter(facts))):
        Ink((), **facts)  # type: ignore[arg-type]


def test_an_error_of_ink_is_one_that_mending_the_input_helps() -> None:
    assert issubclass(InvalidInk, InputError)
    error = InvalidInk("expected ink", "a.jsonl", 3)
    assert str(error) == "a.jsonl:3: expected ink"
    assert (error.source, error.line, error.reason) == ("a.jsonl", 3, "expected ink")


def test_points_may_carry_times() -> None:
    assert Stroke.of([(1, 2, 30)]).t_ms == [30]
    with pytest.raises(InvalidInk, match=r"shape \(n, 2\) or \(n, 3\), got \(1, 4\)"):
        Stroke.of([(1, 2, 3, 4)])


def test_a_tablet_that_counts_x_and_y_differently_is_set_right() -> None:
    ink = inks.seven(per_mm=(10.0, 20.0))
    assert ink.arrays()[0][1].tolist() == [20, 5]
    assert inks.seven().arrays()[0][1].tolist() == [20, 10]


def test_turning_y_twice_changes_nothing() -> None:
    ink = inks.seven()
    turned = ink.with_y("up")
    assert turned.y == "up"
    assert turned.strokes[0].y.tolist() == (-ink.strokes[0].y).tolist()
    assert turned.with_y("down") == ink
    assert ink.with_y("down") is ink
