"""A model of the store whose `.tflite` file was changed: refused by its card before the interpreter sees it.

Where the card agrees, our own look into the file may refuse it, and must not raise anything else. What the
interpreter does, which crashes on wrong graphs, is for `tflite_graph`: a crash would end this process.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=["inkstream_server.model_store.store", "inkstream_server.engines.tflite_file"]
):
    from inkstream_server.engines.tflite_file import require_plain
    from inkstream_server.model_store.store import ModelError, load_folder

from inkstream_server.config import BUNDLED

FOLDER = Path(tempfile.mkdtemp()) / "digits" / "3"
shutil.copytree(BUNDLED / "digits" / "1", FOLDER)
WHOLE = (FOLDER / "model.tflite").read_bytes()
CARD = (FOLDER / "card.json").read_bytes()


def load(content: bytes) -> None:
    """Require that only the unchanged file is loaded."""
    data = atheris.FuzzedDataProvider(content)
    changed, card = bytearray(WHOLE), bytearray(CARD)
    target = changed if data.ConsumeBool() else card
    while data.remaining_bytes():
        target[data.ConsumeIntInRange(0, len(target) - 1)] = data.ConsumeIntInRange(0, 255)
    if changed == WHOLE and card == CARD:
        return
    with suppress(ValueError):
        require_plain(bytes(changed), FOLDER)
    (FOLDER / "model.tflite").write_bytes(changed)
    (FOLDER / "card.json").write_bytes(card)
    try:
        load_folder(FOLDER)
    except ModelError:
        return
    assert changed == WHOLE, "a changed file was loaded"


if __name__ == "__main__":
    atheris.Setup(sys.argv, load)
    atheris.Fuzz()
