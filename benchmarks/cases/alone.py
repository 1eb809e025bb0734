"""Measures parts of the server's work without a server: the model, and drawing."""

from collections.abc import Callable
from time import perf_counter_ns, thread_time

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from inkstream_server.ink import tensor_of
from inkstream_server.model_store.store import BUNDLED
from numpy.typing import NDArray

from benchmarks.load.digits import Digits
from benchmarks.load.figures import CPU, P50, P90, Figures
from benchmarks.load.writing import real_ink
from benchmarks.servers.processes import SERVER_CORE, on_core

SECONDS = 0.5


def model(digits: Digits, rows: int) -> Figures:
    """Run the default model on the same batch of `rows` images for half a second, on the server's core.

    Only LiteRT's own work counts: nothing is copied in or out.
    """
    interpreter = Interpreter(model_path=str(BUNDLED / "digits/1/model.tflite"), num_threads=1)
    (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(given["index"], [rows, 28, 28])
    interpreter.allocate_tensors()
    frames = np.frombuffer(digits.pixels(0, rows), np.uint8).reshape(rows, 28, 28)
    interpreter.set_tensor(given["index"], np.divide(frames, 255, dtype=np.float32))
    interpreter.invoke()
    with on_core(SERVER_CORE):
        began, batches = thread_time(), 0
        while (spent := thread_time() - began) < SECONDS:
            interpreter.invoke()
            batches += 1
    digits.check(interpreter.get_tensor(made["index"]).argmax(axis=1).tolist())
    return {CPU: spent / (batches * rows) * 1e6}


def drawing() -> Figures:
    """Normalise and rasterise real digits one by one; the better of two times counts."""
    inks = [ink.arrays() for ink in real_ink()]
    with on_core(SERVER_CORE):
        median, p90 = timed(lambda strokes: tensor_of(strokes, y_up=True), inks)
    return {P50: median / 1000, P90: p90 / 1000}


def timed(
    work: Callable[[list[NDArray[np.float64]]], object], inks: list[list[NDArray[np.float64]]]
) -> tuple[float, float]:
    """Return median and 90th percentile of microseconds a glyph; the better of two times counts."""
    for strokes in inks[:100]:
        work(strokes)
    best = np.full(len(inks), np.inf)
    for _ in range(2):
        for number, strokes in enumerate(inks):
            began = perf_counter_ns()
            work(strokes)
            best[number] = min(best[number], perf_counter_ns() - began)
    return float(np.median(best)) / 1e3, float(np.percentile(best, 90)) / 1e3
