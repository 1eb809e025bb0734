"""The check of a `.keras` archive before Keras loads it, and its plain copy when it is added to a store.

Changes the archive's bytes, its configuration as text, and the configuration of a network as values.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=[
        "inkstream_server.engines.keras_archive",
        "inkstream_server.model_import.sources",
        "zipfile",
    ]
):
    from inkstream_server.engines.keras_archive import LAYERS, PLAIN, require_plain
    from inkstream_server.model_import.sources import SourceError, read_source

PATH = Path(tempfile.mkdtemp()) / "model.keras"


def archive(config: bytes) -> bytes:
    """Make a whole archive around a configuration."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("config.json", config)
        file.writestr("metadata.json", b'{"keras_version": "3.15.1"}')
        file.writestr("model.weights.h5", b"")
    return packed.getvalue()


WHOLE = archive(b'{"module": "keras", "class_name": "Sequential"}')


NAMES = [
    *sorted(LAYERS),
    "Lambda",
    "LSTM",
    "function",
    "__lambda__",
    "DTypePolicy",
    "Functional",
    "Adam",
]
KEYS = [
    "class_name",
    "module",
    "config",
    "registered_name",
    "dtype",
    "name",
    "batch_shape",
    "layers",
]
KEYS += [
    "build_config",
    "input_shape",
    "build_input_shape",
    "inbound_nodes",
    "activation",
    "compile_config",
]


def value(data: atheris.FuzzedDataProvider, depth: int = 0) -> object:
    """Make a value that a configuration may hold."""
    kind = data.ConsumeIntInRange(0, 7 if depth < 5 else 4)
    if kind == 0:
        return data.PickValueInList(
            [None, True, 32, -1, 1.5, "float32", "mixed_float16", "float16"]
        )
    if kind <= 2:
        return data.PickValueInList([*NAMES, *PLAIN])
    if kind <= 4:
        return [data.ConsumeIntInRange(-1, 32), 28, 28]
    if kind == 5:
        return [value(data, depth + 1) for _ in range(data.ConsumeIntInRange(0, 3))]
    made = {
        "module": data.PickValueInList([*PLAIN, None]),
        "class_name": data.PickValueInList(NAMES),
    }
    more = (data.PickValueInList(KEYS) for _ in range(data.ConsumeIntInRange(0, 4)))
    return made | {key: value(data, depth + 1) for key in more}


def look(content: bytes) -> None:
    """Require that the archive passes or is refused with a reason, and that a copy of it passes."""
    made = content[1:]
    if content[:1] < b"\x40":
        made = archive(content[1:])
    elif content[:1] < b"\x80":
        at = int.from_bytes(content[1:3], "big") % len(WHOLE)
        made = WHOLE[:at] + content[3:] + WHOLE[at + len(content[3:]) :]
    elif content[:1] < b"\xe0":
        config = value(atheris.FuzzedDataProvider(content[1:]))
        made = archive(json.dumps(config).encode())
    PATH.write_bytes(made)
    with suppress(ValueError):
        require_plain(made, PATH)
    try:
        source = read_source(PATH)
    except SourceError:
        return
    if source.format == "keras":
        require_plain(source.content, PATH)


if __name__ == "__main__":
    atheris.Setup(sys.argv, look)
    atheris.Fuzz()
