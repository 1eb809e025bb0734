"""The reference engine: the Keras model itself. Needs the extra `inkstream-server[keras]`."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np
import tensorflow as tf

from inkstream_server.config import MOST_MODEL_BYTES
from inkstream_server.engines import BUCKETS, DIGITS, Frames, Probabilities, bucket_for, fill
from inkstream_server.engines.form import IMAGES, Form, as_probabilities
from inkstream_server.engines.keras_archive import require_plain
from inkstream_server.errors import shown
from inkstream_server.process.files import read_regular


class KerasEngine:
    """Runs a `.keras` file through one `tf.function`, traced for each bucket at construction.

    A call of any size takes half a millisecond, longer than a hop to another thread, so the batcher never
    runs it in the event loop.
    """

    name = "keras"
    in_place_rows = 0

    def __init__(self, path: Path, content: bytes | None = None, form: Form = IMAGES) -> None:
        """Load and warm.

        Args:
            path: a `.keras` file with input (n, *form.shape) and output (n, 10), n free. Keras loads it in
                safe mode, which runs no code from the file.
            content: the bytes of the file; None to read them.
            form: what the network takes and gives.

        Raises:
            ValueError: the file is no Keras model, or one of another form.
            OSError: the file cannot be read, or there is no folder for temporary files.
        """
        content = read_regular(path, MOST_MODEL_BYTES) if content is None else content
        require_plain(content, path)
        with TemporaryDirectory() as own:
            # Keras reads only files, and the one in the store may have changed meanwhile.
            copy = Path(own) / path.name
            copy.write_bytes(content)
            model = keras.saving.load_model(copy, compile=False, safe_mode=True)
        found = model.input_shape, model.output_shape
        if found != ((None, *form.shape), (None, DIGITS)):
            sides = ", ".join(map(str, form.shape))
            raise ValueError(
                f"{path}: expected input (n, {sides}) and output (n, {DIGITS}), "
                f"got {shown(found[0])} and {shown(found[1])}"
            )
        self._form = form
        self.max_rows = form.max_rows
        buckets = [it for it in BUCKETS if it <= form.max_rows]
        self._is_final = not form.gives_logits and form.temperature == 1
        kind = model.inputs[0].dtype
        self._forward = tf.function(lambda rows: model(tf.cast(rows, kind), training=False))
        self._inputs = {rows: np.zeros((rows, form.columns), np.float32) for rows in buckets}
        self.pixels = self._inputs[1]
        for rows in buckets:
            self._run(rows)

    def infer(self, blocks: Sequence[Frames]) -> Probabilities:
        """See `Engine.infer`."""
        rows = sum(map(len, blocks))
        bucket = bucket_for(rows)
        fill(self._inputs[bucket], blocks)
        self.pixels = self._inputs[bucket][:rows]
        return self._run(bucket)[:rows]

    def _run(self, bucket: int) -> Probabilities:
        rows = self._inputs[bucket].reshape(bucket, *self._form.shape)
        if self._form.high != 1:
            rows = rows * np.float32(self._form.high)
        outputs: Probabilities = self._forward(tf.constant(rows)).numpy()
        return outputs if self._is_final else as_probabilities(outputs, self._form)
