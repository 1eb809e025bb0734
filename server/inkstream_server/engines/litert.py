"""The default engine: LiteRT (XNNPACK) on one thread. Takes microseconds a batch and no TensorFlow."""

from collections.abc import Mapping, Sequence
from ctypes import c_float
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from inkstream_server.config import MOST_MODEL_BYTES
from inkstream_server.engines import (
    BUCKETS,
    DIGITS,
    PIXELS,
    Frames,
    Probabilities,
    bucket_for,
    fill,
)
from inkstream_server.engines.tflite_file import require_plain
from inkstream_server.process.files import read_regular


class LiteRTEngine:
    """Runs a `.tflite` file with one interpreter for each bucket, allocated and warmed at construction.

    An interpreter is never resized after that, because resizing allocates anew. A batch of 256 takes less
    than a millisecond on one core, so all batches run in the event loop.
    """

    name = "litert"
    max_rows = BUCKETS[-1]
    in_place_rows = BUCKETS[-1]

    def __init__(self, path: Path, content: bytes | None = None) -> None:
        """Load and warm. Damaged content can end the process; `model_store.trial` tries unknown files first.

        Args:
            path: a `.tflite` file with float32 input (n, 28, 28) and output (n, 10).
            content: the bytes of the file; None to read them.

        Raises:
            ValueError: the file is no LiteRT model, no plain network, or one with other shapes.
            OSError: the file cannot be read.
        """
        content = read_regular(path, MOST_MODEL_BYTES) if content is None else content
        require_plain(content, path)
        self._buckets = {rows: _Bucket(content, rows, path) for rows in BUCKETS}
        self.pixels = self._buckets[1].input

    def infer(self, blocks: Sequence[Frames]) -> Probabilities:
        """See `Engine.infer`."""
        rows = len(blocks[0]) if len(blocks) == 1 else sum(map(len, blocks))
        bucket = self._buckets[bucket_for(rows)]
        self.pixels = bucket.input[:rows]
        fill(bucket.input, blocks)
        bucket.interpreter.invoke()
        return bucket.output[:rows].copy()


class _Bucket:
    """One interpreter at a fixed batch size, with permanent views of its input and output."""

    def __init__(self, content: bytes, rows: int, path: Path) -> None:
        self.interpreter = Interpreter(model_content=content, num_threads=1)
        (given,) = self.interpreter.get_input_details()
        (made,) = self.interpreter.get_output_details()
        wanted, found = (
            ("float32 (n, 28, 28)", f"float32 (n, {DIGITS})"),
            (_form(given), _form(made)),
        )
        if found != wanted:
            raise ValueError(
                f"{path}: expected input {wanted[0]} and output {wanted[1]}, "
                f"got {found[0]} and {found[1]}"
            )
        self.interpreter.resize_tensor_input(given["index"], [rows, 28, 28])
        self.interpreter.allocate_tensors()
        self.input = _view(self.interpreter.tensor(given["index"])(), PIXELS)
        self.output = _view(self.interpreter.tensor(made["index"])(), DIGITS)
        self.input.fill(0)
        self.interpreter.invoke()


def _view(tensor: NDArray[np.float32], columns: int) -> NDArray[np.float32]:
    """Give a view of a tensor's memory, shape (rows, columns), that is valid as long as its interpreter.

    An interpreter refuses to run while a view that it made is in use, since its memory might move. New
    views for each batch would cost as much as the inference of one row. This memory does not move:
    `allocate_tensors` places tensors of fixed size once, and it is not called again.
    """
    memory = (c_float * tensor.size).from_address(tensor.ctypes.data)
    view: NDArray[np.float32] = np.ctypeslib.as_array(memory).reshape(-1, columns)
    return view


def _form(tensor: Mapping[str, Any]) -> str:
    """Give type and shape of a tensor, without its batch size."""
    sides = ", ".join(map(str, tensor["shape"][1:]))
    return f"{tensor['dtype'].__name__} (n, {sides})"
