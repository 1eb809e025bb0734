"""The default engine: LiteRT (XNNPACK) on one thread. Takes microseconds a batch and no TensorFlow."""

import ctypes
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from inkstream_server.config import MOST_MODEL_BYTES
from inkstream_server.engines import BUCKETS, DIGITS, Frames, Probabilities, bucket_for, fill
from inkstream_server.engines.form import IMAGES, Form, as_probabilities
from inkstream_server.engines.tflite_file import describe, require_plain
from inkstream_server.process.files import read_regular

IN_PLACE_SECONDS: Final = 0.005
"""Longest batch that the event loop computes itself. The bundled networks take less than 1 ms for 256
rows."""

_RUNS: Final = 3
"""Most timed runs of a bucket that is slow, perhaps because the machine was busy. The fastest one counts."""

_MEMORY: Final[Mapping[Any, Any]] = {
    np.float32: ctypes.c_float,
    np.uint8: ctypes.c_uint8,
    np.int8: ctypes.c_int8,
}
"""Types of number that a network may take and give."""


class LiteRTEngine:
    """Runs a `.tflite` file with one interpreter for each bucket, allocated and warmed at construction.

    An interpreter is never resized after that, because resizing allocates anew. A network whose file fixes
    the batch size to 1 has one interpreter, which computes rows one by one.
    """

    name = "litert"

    def __init__(self, path: Path, content: bytes | None = None, form: Form = IMAGES) -> None:
        """Load and warm. Damaged content can end the process; `model_store.trial` tries unknown files first.

        Args:
            path: a `.tflite` file with input (n, *form.shape) and output (n, 10), where n is free or 1. Both
                are float32, or uint8 or int8 with a scale.
            content: the bytes of the file; None to read them.
            form: what the network takes and gives.

        Raises:
            ValueError: the file is no LiteRT model, no plain network, or one of another form.
            OSError: the file cannot be read.
        """
        content = read_regular(path, MOST_MODEL_BYTES) if content is None else content
        require_plain(content, path)
        self._form = form
        self.max_rows = form.max_rows
        buckets = [it for it in BUCKETS if it <= form.max_rows]
        alone = _Graph(content, 1, path, form)
        sizes = () if alone.is_fixed else buckets[1:]
        self._graphs = {1: alone} | {rows: _Graph(content, rows, path, form) for rows in sizes}
        # Frames are filled into the network's own input, unless it takes them in another form.
        is_direct = alone.input.dtype == np.float32 and form.high == 1 and not alone.is_fixed
        self._frames = None if is_direct else np.zeros((self.max_rows, form.columns), np.float32)
        # Probabilities that were rounded to eight bits lose their sum of 1.
        is_rounded = describe(content, path).is_quantised
        self._is_final = not (is_rounded or form.gives_logits or form.temperature != 1)
        self.in_place_rows = max((it for it in buckets if self._fits_loop(it)), default=0)
        self.pixels = np.zeros((0, form.columns), np.float32)

    def infer(self, blocks: Sequence[Frames]) -> Probabilities:
        """See `Engine.infer`."""
        outputs = self.outputs(blocks)
        return outputs if self._is_final else as_probabilities(outputs, self._form)

    def outputs(self, blocks: Sequence[Frames]) -> NDArray[np.float32]:
        """Compute one batch, and give what the network gives, as real numbers; see `Engine.infer`."""
        rows = len(blocks[0]) if len(blocks) == 1 else sum(map(len, blocks))
        bucket = bucket_for(rows)
        if self._frames is None:
            graph = self._graphs[bucket]
            self.pixels = graph.input[:rows]
            fill(graph.input, blocks)
            graph.interpreter.invoke()
            return graph.output[:rows].copy()
        self.pixels = self._frames[:rows]
        fill(self._frames, blocks)
        return self._converted(rows, bucket, self._frames)

    def _converted(
        self, rows: int, bucket: int, frames: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Compute `rows` frames by a network that takes them in another form, or one by one."""
        size = bucket if bucket in self._graphs else 1
        graph = self._graphs[size]
        outputs = np.empty((rows, DIGITS), np.float32)
        for start in range(0, rows, size):
            graph.take(frames[start : start + size])
            graph.interpreter.invoke()
            outputs[start : start + size] = graph.given()[: rows - start]
        return outputs

    def _fits_loop(self, bucket: int) -> bool:
        graph = self._graphs.get(bucket)
        seconds = graph.seconds if graph is not None else bucket * self._graphs[1].seconds
        return seconds <= IN_PLACE_SECONDS


class _Graph:
    """One interpreter at a fixed batch size, with permanent views of its input and output."""

    def __init__(self, content: bytes, rows: int, path: Path, form: Form) -> None:
        """Allocate and warm; raises ValueError if the network is of another form."""
        self.interpreter = Interpreter(model_content=content, num_threads=1)
        given, made = self._tensors(path, form)
        self.is_fixed = int(given["shape_signature"][0]) != -1
        if not self.is_fixed:
            self.interpreter.resize_tensor_input(given["index"], [rows, *form.shape])
        self.interpreter.allocate_tensors()
        # Only the first run places what has no fixed size, which may move the input and the output.
        self.interpreter.invoke()
        self.input = self._view(given["index"], form.columns)
        self.output = self._view(made["index"], DIGITS)
        if not len(self.input) == len(self.output) == rows:
            raise ValueError(
                f"{path}: expected {rows} rows in and out, got {len(self.input)} and {len(self.output)}"
            )
        self._takes = _steps(given, path)
        self._gives = _steps(made, path)
        self._high = form.high
        self.input.fill(0)
        self.seconds = self._timed()
        for _ in range(_RUNS - 1):
            if IN_PLACE_SECONDS < self.seconds < 20 * IN_PLACE_SECONDS:
                self.seconds = min(self.seconds, self._timed())
        if any(
            self._view(tensor["index"], 1).ctypes.data != view.ctypes.data
            for tensor, view in ((given, self.input), (made, self.output))
        ):
            raise ValueError(f"{path}: its input or output moves in memory from batch to batch")

    def take(self, frames: NDArray[np.float32]) -> None:
        """Write as many frames of 0 to 1 as the graph has rows into its input."""
        if self.input.dtype == np.float32:
            np.multiply(frames, np.float32(self._high), out=self.input)
            return
        scale, zero = self._takes
        whole = np.rint(frames * np.float32(self._high / scale)) + np.float32(zero)
        limits = np.iinfo(self.input.dtype)
        np.clip(whole, limits.min, limits.max, out=self.input, casting="unsafe")

    def given(self) -> NDArray[np.float32]:
        """Give the outputs as real numbers, valid until the next run."""
        if self.output.dtype == np.float32:
            return self.output
        scale, zero = self._gives
        return (self.output.astype(np.float32) - np.float32(zero)) * np.float32(scale)

    def _tensors(self, path: Path, form: Form) -> tuple[dict[str, Any], dict[str, Any]]:
        """Give the only input and output, of the expected form."""
        inputs, outputs = (
            self.interpreter.get_input_details(),
            self.interpreter.get_output_details(),
        )
        if len(inputs) != 1 or len(outputs) != 1:
            raise ValueError(
                f"{path}: expected one input and one output, got {len(inputs)} and {len(outputs)}"
            )
        wanted = [[*form.shape], [DIGITS]]
        if [_row_shape(inputs[0]), _row_shape(outputs[0])] != wanted or not all(
            tensor["dtype"] in _MEMORY and int(tensor["shape_signature"][0]) in (-1, 1)
            for tensor in (inputs[0], outputs[0])
        ):
            raise ValueError(
                f"{path}: expected input {_text([-1, *form.shape])} and output {_text([-1, DIGITS])}, "
                f"n free or 1, of float32, uint8 or int8, got {_form(inputs[0])} and {_form(outputs[0])}"
            )
        return inputs[0], outputs[0]

    def _view(self, index: int, columns: int) -> NDArray[Any]:
        """Give a view of a tensor's memory, shape (rows, columns), valid as long as its interpreter.

        An interpreter refuses to run while a view that it made is in use, since its memory might move. New
        views for each batch would cost 1.5 microseconds. After the first run this memory does not move:
        `tflite_file` refuses graphs in which content decides a shape.
        """
        tensor = self.interpreter.tensor(index)()
        memory = (_MEMORY[tensor.dtype.type] * tensor.size).from_address(tensor.ctypes.data)
        return np.ctypeslib.as_array(memory).reshape(-1, columns)

    def _timed(self) -> float:
        began = perf_counter()
        self.interpreter.invoke()
        return perf_counter() - began


def _steps(tensor: Mapping[str, Any], path: Path) -> tuple[float, int]:
    """Give scale and zero point of a tensor; 1 and 0 of float32, and of uint8 that means 0 to 255."""
    scale, zero = map(float, tensor["quantization"])
    if tensor["dtype"] is np.float32 or (tensor["dtype"] is np.uint8 and scale == 0):
        return 1.0, 0
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"{path}: {_form(tensor)}: expected one scale above 0, got {scale:g}")
    return scale, int(zero)


def _row_shape(tensor: Mapping[str, Any]) -> list[int]:
    return [int(side) for side in tensor["shape"][1:]]


def _form(tensor: Mapping[str, Any]) -> str:
    """Give type and shape of a tensor."""
    return f"{tensor['dtype'].__name__} {_text(map(int, tensor['shape_signature']))}"


def _text(shape: Any) -> str:
    return f"({', '.join('n' if side == -1 else str(side) for side in shape)})"
