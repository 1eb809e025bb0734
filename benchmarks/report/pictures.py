"""Draws figures with matplotlib (`pip install matplotlib`); needs no display."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from benchmarks.cases.cases import POISSON
from benchmarks.cases.targets import Results
from benchmarks.load.figures import INKSTREAM, PERCENTILES, RATE, RAW, STUBS, middle

COLOURS = {INKSTREAM: "tab:blue", RAW: "tab:gray", STUBS: "tab:olive"}
mpl.rcParams["svg.fonttype"] = "none"  # Letters as text: a tenth of the size.
mpl.rcParams["svg.hashsalt"] = "inkstream"  # The same figures give the same file.


def draw_bench(results: Results, path: Path) -> None:
    """Draw throughput beside the raw floor, one dot a round, and latencies by percentile."""
    picture, (speeds, latencies) = _sheet(2)
    # The rate of this case is offered, not reached.
    beside = [case for case, rows in results.items() if RAW in rows and case != POISSON]
    for at, case in enumerate(beside):
        rows = results[case]
        for who in (STUBS, INKSTREAM):
            pairs = zip(rows.get(who, []), rows[RAW], strict=False)
            dots = [run[RATE] / floor[RATE] for run, floor in pairs]
            speeds.plot(dots, [at] * len(dots), "o", alpha=0.6, color=COLOURS[who], label=who)
    speeds.axvline(1, color=COLOURS[RAW])
    speeds.set(
        xlabel="x raw floor", title="messages and answers, beside a bare echo", xlim=(0, None)
    )
    speeds.set_yticks(range(len(beside)), [name.replace(", ", "\n") for name in beside])
    speeds.invert_yaxis()
    for case, rows in results.items():
        runs = rows.get(INKSTREAM, [])
        if runs and all(name in runs[0] for name in PERCENTILES):
            values = [middle(runs, name) for name in PERCENTILES]
            latencies.plot(list(PERCENTILES), values, "o-", label=case)
    latencies.set(yscale="log", ylabel="ms", title="latency of inkstream")
    if latencies.lines:
        low, high = latencies.get_ylim()
        latencies.set_ylim(low, high * 10)  # Room for the legend.
    _finish(picture, path)


def draw_lines(
    path: Path,
    *,
    title: str,
    across: tuple[str, Sequence[float]],
    up: str,
    lines: dict[str, Sequence[float]],
    log: str = "xy",
    bound: float | None = None,
) -> None:
    """Draw lines over the same values.

    Args:
        path: the file to write; its suffix chooses the format.
        title: of the picture.
        across: name and values of the x axis.
        up: name of the y axis.
        lines: y values by the name of the line.
        log: the logarithmic axes: "x", "y", "xy" or "".
        bound: a value to mark on the y axis.
    """
    picture, (axes,) = _sheet(1)
    name, values = across
    for line, heights in lines.items():
        axes.plot(values, heights, "o-", label=line, color=COLOURS.get(line))
    if bound is not None:
        axes.axhline(bound, color="tab:red", linestyle=":", linewidth=1)
    axes.set(xlabel=name, ylabel=up, title=title)
    if "x" in log:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_yscale("log" if "y" in log else "linear")
    if "y" not in log:
        axes.set_ylim(bottom=0)
    _finish(picture, path)


def _sheet(columns: int) -> tuple[Figure, list[Axes]]:
    picture = Figure(figsize=(6 * columns, 3.8), layout="constrained")
    FigureCanvasAgg(picture)
    return picture, list(picture.subplots(1, columns, squeeze=False)[0])


def _finish(picture: Figure, path: Path) -> None:
    for axes in picture.axes:
        axes.grid(alpha=0.3)
        names = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        if names:
            axes.legend(names.values(), names.keys(), fontsize="x-small")
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=100)
