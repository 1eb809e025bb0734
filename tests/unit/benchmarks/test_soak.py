from __future__ import annotations

import pytest

from benchmarks.soak import Leftovers, Look, Samples, growth, reconcile


def looks(*megabytes: float) -> list[Look]:
    return [Look(at, size, 20, 12, 0, 0) for at, size in enumerate(megabytes)]


def counters(**tensors: float) -> Samples:
    """Return the counters of a server that accepted some tensors and no ink."""
    accepted = {"tensor": tensors.pop("accepted"), "ink": 0.0}
    samples: Samples = {
        ("inkstream_items_accepted_total", (("kind", kind),)): value
        for kind, value in accepted.items()
    }
    for outcome, value in tensors.items():
        samples["inkstream_items_total", (("kind", "tensor"), ("outcome", outcome))] = value
    return samples


def test_counters_that_add_up_are_returned() -> None:
    assert reconcile(counters(accepted=7, ok=4, cancelled=3, failed=0)) == {
        "tensor accepted": 7,
        "tensor ok": 4,
        "tensor cancelled": 3,
        "ink accepted": 0,
    }


@pytest.mark.parametrize("ok", [6, 8])
def test_a_missing_or_an_extra_item_is_an_error(ok: int) -> None:
    with pytest.raises(Leftovers, match="7 items of tensor"):
        reconcile(counters(accepted=7, ok=ok))


def test_growth_is_measured_over_the_second_half() -> None:
    assert growth(looks(*[50] * 10, *[100] * 10)) == 0
    assert growth(looks(*[100] * 10, *[100] * 5, *[110] * 5)) == pytest.approx(0.1)


def test_a_single_high_look_is_no_growth() -> None:
    assert growth(looks(*[100] * 30, *[100] * 27, 100, 150, 100)) == 0
