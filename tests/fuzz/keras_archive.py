"""The check of a `.keras` archive before Keras loads it: the archive's bytes and its configuration."""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["inkstream_server.engines.keras_archive", "zipfile"]):
    from inkstream_server.engines.keras_archive import require_plain

PATH = Path("digits/3/model.keras")


def archive(config: bytes) -> bytes:
    """Make a whole archive around a configuration."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("config.json", config)
        file.writestr("metadata.json", b"{}")
        file.writestr("model.weights.h5", b"")
    return packed.getvalue()


WHOLE = archive(b'{"module": "keras", "class_name": "Sequential"}')


def look(content: bytes) -> None:
    """Require that the archive passes or is refused with a reason."""
    made = content[1:]
    if content[:1] < b"\x55":
        made = archive(content[1:])
    elif content[:1] < b"\xaa":
        at = int.from_bytes(content[1:3], "big") % len(WHOLE)
        made = WHOLE[:at] + content[3:] + WHOLE[at + len(content[3:]) :]
    try:
        require_plain(made, PATH)
    except ValueError:
        return


if __name__ == "__main__":
    atheris.Setup(sys.argv, look)
    atheris.Fuzz()
