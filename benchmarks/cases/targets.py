"""The speeds that the project aims for on one server core, and whether a run of `make bench` reaches them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.cases import cases
from benchmarks.load.figures import CPU, INKSTREAM, MEMORY, P50, P99, RATE, RAW, Rows, middle, ratio

Results = Mapping[str, Rows]
"""All rounds, by case."""


@dataclass(frozen=True, slots=True)
class Target:
    """One bound on one figure."""

    what: str
    case: str
    figure: Callable[[Rows], float]
    bound: float
    unit: str
    is_floor: bool = False
    """Whether the bound is a minimum; else it is a maximum."""

    def measured(self, results: Results) -> float | None:
        """Return the figure, or None if its case was left out."""
        return self.figure(results[self.case]) if self.case in results else None

    def is_met_by(self, measured: float) -> bool:
        """Return whether a figure meets the bound."""
        return measured >= self.bound if self.is_floor else measured <= self.bound


def _own(name: str) -> Callable[[Rows], float]:
    return lambda rows: middle(rows[INKSTREAM], name)


def _to_floor(name: str, floor: str = RAW) -> Callable[[Rows], float]:
    return lambda rows: ratio(rows[INKSTREAM], rows[floor], name)


def _to_floor_and_model(rows: Rows) -> float:
    together = [
        {CPU: floor[CPU] + model[CPU]}
        for floor, model in zip(rows[RAW], rows[cases.LITERT], strict=True)
    ]
    return ratio(rows[INKSTREAM], together, CPU)


def _two_cores(rows: Rows) -> float:
    return 2 * ratio(rows[INKSTREAM], rows[cases.TWO_WORKERS], CPU)


def _least(case: str, figure: Callable[[Rows], float], bound: float, unit: str) -> Target:
    return Target(case, case, figure, bound, unit, is_floor=True)


TARGETS = (
    _least(cases.ONE_STREAM, _to_floor(RATE), 1.0, "x raw floor"),
    _least(cases.EIGHT_STREAMS, _to_floor(RATE), 0.8, "x raw floor"),
    _least(cases.MANY_STREAMS, _to_floor(RATE), 0.8, "x raw floor"),
    _least(cases.PACKED, _own(RATE), 110_000, "images/s"),
    Target(
        f"{cases.PACKED}: CPU an image",
        cases.PACKED,
        _to_floor_and_model,
        1.4,
        "x (raw floor + LiteRT)",
    ),
    _least(cases.STREAM, _own(RATE), 60_000, "images/s"),
    _least(cases.ASYNC_STREAM, _own(RATE), 60_000, "images/s"),
    _least(cases.THREADS, _own(RATE), 6_000, "calls/s"),
    _least(cases.TASKS, _own(RATE), 10_000, "calls/s"),
    Target(f"{cases.ROUND_TRIP}: p50", cases.ROUND_TRIP, _to_floor(P50), 1.3, "x raw floor"),
    Target(f"{cases.POISSON}: p99", cases.POISSON, _own(P99), 5.0, "ms"),
    Target(f"{cases.OWN_STREAMS}: p99", cases.OWN_STREAMS, _own(P99), 50.0, "ms"),
    Target(f"{cases.GATEWAY}: p99", cases.GATEWAY, _own(P99), 50.0, "ms"),
    Target(f"{cases.DRAWING}: p50", cases.DRAWING, _own(P50), 0.060, "ms"),
    Target(cases.START, cases.START, _own(cases.READY), 1.2, "s"),
    Target(f"{cases.START}: resident memory", cases.START, _own(MEMORY), 130.0, "MB"),
    Target(
        f"{cases.METRICS}: CPU an image",
        cases.METRICS,
        _to_floor(CPU, cases.UNCOUNTED),
        1.03,
        "x without",
    ),
    _least(cases.WORKERS, _two_cores, 1.8, "x one process, by CPU an image"),
)
