"""Measures what a glyph costs in the server, step by step: drawing, its trace, and each network."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter_ns
from typing import Any

import click
import numpy as np
from inkstream_server import config
from inkstream_server.engines.form import TRACES
from inkstream_server.engines.litert import LiteRTEngine
from inkstream_server.ink import model_frame, model_inputs, normalize, trace_of
from inkstream_server.model_store import store
from inkstream_server.model_store.pair import rows_of
from rich.console import Console
from rich.table import Table

from benchmarks.load.writing import real_ink
from benchmarks.servers.processes import SERVER_CORE

GLYPHS = 500
RUNS = 7
"""Times of each glyph, of which the least counts; the table shows the median over the glyphs."""
BATCHES = (1, 2, 4, 8, 16, 32)


def least(work: Callable[[int], object], count: int) -> list[float]:
    """Give the least microseconds that `work` takes for each number below `count`."""
    for number in range(min(count, 50)):
        work(number)
    best = [np.inf] * count
    for _ in range(RUNS):
        for number in range(count):
            began = perf_counter_ns()
            work(number)
            best[number] = min(best[number], perf_counter_ns() - began)
    return [it / 1000 for it in best]


def steps(model: store.Model, folder: Path) -> list[tuple[str, float]]:
    """Measure each step of one glyph at a time, in microseconds."""
    inks = [ink.arrays() for ink in real_ink()[:GLYPHS]]
    glyphs = [it for ink in inks if (it := normalize(ink, y_up=True)) is not None]
    inputs = [both for ink in inks if (both := model_inputs(ink, y_up=True)) is not None]
    frames = [frame.reshape(1, -1) for frame, _ in inputs]
    images = model.images.engine
    measured: list[tuple[str, Callable[[int], object], int]] = [
        ("normalise and draw", lambda at: model_frame(inks[at], y_up=True), len(inks)),
        ("write the trace", lambda at: trace_of(glyphs[at]), len(glyphs)),
        ("both", lambda at: model_inputs(inks[at], y_up=True), len(inks)),
        ("network for images", lambda at: images.infer([frames[at]]), len(frames)),
    ]
    if model.ink.kind == "strokes":
        strokes = LiteRTEngine(folder / config.ENGINES["litert"].strokes_file, form=TRACES)
        traces = [trace.reshape(1, -1) for _, trace in inputs]
        rows = [rows_of(*it) for it in inputs]
        measured += [
            ("network for strokes", lambda at: strokes.infer([traces[at]]), len(traces)),
            ("both networks and their product", lambda at: model.ink.engine.infer([rows[at]]), len(rows)),
        ]  # fmt: skip
    return [(name, median(least(work, count))) for name, work, count in measured]


def batches(model: store.Model) -> list[tuple[int, float]]:
    """Measure how a batch of glyphs is answered, in microseconds a glyph."""
    chance = np.random.default_rng(0)
    found = []
    rows: Any = None

    def compute(_: int) -> object:
        return model.ink.engine.infer([rows])

    for count in BATCHES:
        frames = chance.integers(0, 256, (count, 784)).astype(np.uint8)
        rows = frames
        if model.ink.kind == "strokes":
            rows = rows_of(frames, chance.normal(size=(count, 448)).astype(np.float32))
        found.append((count, min(least(compute, 100)) / count))
    return found


def _tables(found: Sequence[tuple[str, float]], sizes: Sequence[tuple[int, float]]) -> list[Table]:
    first = Table("step of one glyph", "microseconds", title="median over real glyphs")
    for name, microseconds in found:
        first.add_row(name, f"{microseconds:.1f}")
    second = Table("glyphs a batch", "microseconds a glyph", title="engines")
    for count, microseconds in sizes:
        second.add_row(str(count), f"{microseconds:.1f}")
    return [first, second]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--model-store", type=click.Path(path_type=Path), default=store.BUNDLED)
@click.option("--model", default="digits", show_default=True, metavar="NAME[/VERSION]")
def main(model_store: Path, model: str) -> None:
    """Measure the steps of a glyph on one core, in LiteRT.

    \b
    Examples:
      python -m benchmarks.glyph
      python -m benchmarks.glyph --model digits/1    # a model with one network
    """
    os.sched_setaffinity(0, {SERVER_CORE})
    folder = store.find(model_store, model)
    loaded = store.load_folder(folder)
    console = Console(width=None if sys.stdout.isatty() else 110)
    console.print(f"{loaded.label}: a glyph counts {loaded.ink.row_ns / 1000:.1f} microseconds "
                  f"in the queue, an image {loaded.images.row_ns / 1000:.1f}")  # fmt: skip
    console.print(*_tables(steps(loaded, folder), batches(loaded)), sep="\n")


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.glyph")
