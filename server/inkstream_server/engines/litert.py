"""The default engine: LiteRT (XNNPACK) on one thread, microseconds a batch and no TensorFlow."""

from collections.abc import Mapping, Sequence
from ctypes import c_float
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

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


class LiteRTEngine:
    """Runs a `.tflite` file with one interpreter a bucket, each allocated and warmed at construction.

    Resizing an interpreter re-allocates it, so none is ever resized after that. One batch of 256 takes
    less than a millisecond on one core, so all batches run in the event loop's own thread.
    """

    name = "litert"
    max_rows = BUCKETS[-1]
    in_place_rows = BUCKETS[-1]

    def __init__(self, path: Path, content: bytes | None = None) -> None:
        """Load and warm. Damaged content can end the process; `model_store.trial` tries unknown files first.

        Args:
            path: a `.tflite` file with float32 input (n, 28, 28) and output (n, 10).
            content: what it holds; None to read it.

        Raises:
            ValueError: the file is no LiteRT model, not a plain network, or not one with these shapes.
        """
        content = path.read_bytes() if content is None else content
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
    """One interpreter at a fixed batch size, with lasting views on its input and output."""

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
        self.input = _lasting(self.interpreter.tensor(given["index"])(), PIXELS)
        self.output = _lasting(self.interpreter.tensor(made["index"])(), DIGITS)
        self.input.fill(0)
        self.interpreter.invoke()


def _lasting(tensor: NDArray[np.float32], columns: int) -> NDArray[np.float32]:
    """Give a view on a tensor's memory that lasts as long as its interpreter, shape (rows, columns).

    An interpreter refuses to run while a view of its own making is held, since memory might move; taking two
    anew for each batch costs what a row's inference costs. This memory does not move: tensors of a fixed
    size are placed once, by `allocate_tensors`, and nothing here is allocated a second time.
    """
    memory = (c_float * tensor.size).from_address(tensor.ctypes.data)
    view: NDArray[np.float32] = np.ctypeslib.as_array(memory).reshape(-1, columns)
    return view


def _form(tensor: Mapping[str, Any]) -> str:
    """Give type and shape of a tensor that an interpreter describes, whatever its batch size."""
    sides = ", ".join(map(str, tensor["shape"][1:]))
    return f"{tensor['dtype'].__name__} (n, {sides})"
