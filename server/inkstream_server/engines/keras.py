"""The reference engine: the Keras model itself. Needs the extra `inkstream-server[keras]`."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np
import tensorflow as tf

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
from inkstream_server.engines.keras_archive import require_plain
from inkstream_server.process.files import read_regular


class KerasEngine:
    """Runs a `.keras` file through one `tf.function`, traced for each bucket at construction.

    A call of any size takes half a millisecond, longer than a hop to another thread, so the batcher never
    runs it in the event loop.
    """

    name = "keras"
    max_rows = BUCKETS[-1]
    in_place_rows = 0

    def __init__(self, path: Path, content: bytes | None = None) -> None:
        """Load and warm.

        Args:
            path: a `.keras` file with input (28, 28) and ten outputs. Keras loads it in safe mode, which
                runs no code from the file.
            content: the bytes of the file; None to read them.

        Raises:
            ValueError: the file is no Keras model, or one with other shapes.
            OSError: the file cannot be read, or there is no folder for temporary files.
        """
        content = read_regular(path, MOST_MODEL_BYTES) if content is None else content
        require_plain(content, path)
        with TemporaryDirectory() as own:
            # Keras reads only files, and the one in the store may have changed meanwhile.
            copy = Path(own) / path.name
            copy.write_bytes(content)
            model = keras.saving.load_model(copy, compile=False, safe_mode=True)
        if tuple(model.input_shape[1:]) != (28, 28) or tuple(model.output_shape[1:]) != (DIGITS,):
            raise ValueError(
                f"{path}: expected input (n, 28, 28) and output (n, {DIGITS}), "
                f"got {model.input_shape} and {model.output_shape}"
            )
        self._forward = tf.function(lambda images: model(images, training=False))
        self._inputs = {rows: np.zeros((rows, PIXELS), np.float32) for rows in BUCKETS}
        self.pixels = self._inputs[1]
        for rows in BUCKETS:
            self._run(rows)

    def infer(self, blocks: Sequence[Frames]) -> Probabilities:
        """See `Engine.infer`."""
        rows = sum(map(len, blocks))
        bucket = bucket_for(rows)
        fill(self._inputs[bucket], blocks)
        self.pixels = self._inputs[bucket][:rows]
        return self._run(bucket)[:rows]

    def _run(self, bucket: int) -> Probabilities:
        images = tf.constant(self._inputs[bucket].reshape(bucket, 28, 28))
        probabilities: Probabilities = self._forward(images).numpy()
        return probabilities
