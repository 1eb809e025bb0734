"""A model of the store whose `.tflite` file was changed: refused by its card before the interpreter sees it.

The interpreter itself crashes on wrong bytes (two are enough), so that the card is what stands before it.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["inkstream_server.model_store"]):
    from inkstream_server.model_store import ModelError, load_folder

from inkstream_server.config import BUNDLED

FOLDER = Path(tempfile.mkdtemp()) / "digits" / "3"
shutil.copytree(BUNDLED / "digits" / "3", FOLDER)
WHOLE = (FOLDER / "model.tflite").read_bytes()
CARD = (FOLDER / "card.json").read_bytes()


def load(content: bytes) -> None:
    """Load what is as it was, refuse what is not."""
    data = atheris.FuzzedDataProvider(content)
    changed, card = bytearray(WHOLE), bytearray(CARD)
    target = changed if data.ConsumeBool() else card
    while data.remaining_bytes():
        target[data.ConsumeIntInRange(0, len(target) - 1)] = data.ConsumeIntInRange(0, 255)
    if changed == WHOLE and card == CARD:
        return
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
